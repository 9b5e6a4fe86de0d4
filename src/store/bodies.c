/*
 * bodies.c - a small cache of raw frame bodies, so that reading pages out of one compressed frame does not
 * decompress it again for each of them.
 *
 * Entries are known by (segment, log file, offset); log files are never written twice at one place while a
 * process lives, so an entry never gets stale.  Every body was checked against its crc when it came in.
 * Memory: at most HX_BODIES x HX_FRAME_RAW_MAX, allocated on first use; shared by all segments of a node.
 */
#include "store.h"

#include <stdlib.h>

int hx_bodies_init(struct hx_bodies *b)
{
    *b = (struct hx_bodies){0};
    b->frame = malloc(HX_FRAME_MAX);
    return b->frame ? 0 : HX_E_NOMEM;
}

void hx_bodies_fini(struct hx_bodies *b)
{
    for (size_t i = 0; i < HX_BODIES; i++)
        free(b->e[i].p);
    free(b->frame);
    *b = (struct hx_bodies){0};
}

void hx_bodies_forget(struct hx_bodies *b, const struct hx_seg *s)
{
    for (size_t i = 0; i < HX_BODIES; i++)
        if (b->e[i].seg == s)
            b->e[i].seg = NULL;
}

static int fill(struct hx_bodies *b, struct hx_seg *s, const struct hx_frame_ref *f, uint8_t *to)
{
    const uint8_t *raw;
    struct hx_frame_head h = {
        .codec = f->codec, .raw_len = f->raw_len, .body_len = f->body_len, .body_crc = f->body_crc};
    hx_assert(f->raw_len <= HX_FRAME_RAW_MAX && f->body_len <= HX_FRAME_MAX - HX_FRAME_HEAD); /* side.c, log.c */
    int err = hx_log_read(s, f->file, f->off + HX_LOG_ENV + HX_FRAME_HEAD, b->frame, f->body_len);
    if (!err)
        err = hx_frame_open(s->env->opener, &h, b->frame, to, &raw);
    if (err)
        return err == HX_E_BADMSG ? HX_E_CORRUPT : err;
    if (raw != to)
        memcpy(to, raw, f->raw_len);
    return 0;
}

int hx_bodies_get(struct hx_bodies *b, struct hx_seg *s, const struct hx_frame_ref *f, const uint8_t **ret)
{
    uint64_t file = s->log.files[f->file]->id;
    size_t oldest = 0;
    b->clock++;
    for (size_t i = 0; i < HX_BODIES; i++) {
        if (b->e[i].seg == s && b->e[i].file == file && b->e[i].off == f->off) {
            b->e[i].used = b->clock;
            *ret = b->e[i].p;
            return 0;
        }
        if (b->e[i].used < b->e[oldest].used)
            oldest = i;
    }
    if (!b->e[oldest].p && !(b->e[oldest].p = malloc(HX_FRAME_RAW_MAX)))
        return HX_E_NOMEM;
    b->e[oldest].seg = NULL;
    int err = fill(b, s, f, b->e[oldest].p);
    if (err)
        return err;
    b->e[oldest].seg = s;
    b->e[oldest].file = file;
    b->e[oldest].off = f->off;
    b->e[oldest].len = f->raw_len;
    b->e[oldest].used = b->clock;
    *ret = b->e[oldest].p;
    return 0;
}
