/*
 * bodies.c - a small cache of raw frame bodies, so that reading pages out of one compressed frame does not
 * decompress it again for each of them.
 *
 * Entries are known by (segment, log file, offset); log files are never written twice at one place while a
 * process lives, so an entry never gets stale.  Every body was checked against its crc when it came in.
 * Materialising some hot pages walks over the same frames once for each page, so there is room for more small bodies
 * than for large ones.  Memory: HX_BODIES_BYTES in all, shared by all segments of a node; the least used go first.
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

static void drop(struct hx_bodies *b, size_t i)
{
    free(b->e[i].p);
    b->bytes -= b->e[i].len;
    b->e[i].p = NULL;
    b->e[i].seg = NULL;
    b->e[i].len = 0;
    b->e[i].used = 0; /* first to be taken */
}

void hx_bodies_forget(struct hx_bodies *b, const struct hx_seg *s)
{
    for (size_t i = 0; i < HX_BODIES; i++)
        if (b->e[i].seg == s)
            drop(b, i);
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

static size_t least_used(const struct hx_bodies *b)
{
    size_t least = 0;
    for (size_t i = 1; i < HX_BODIES; i++)
        if (b->e[i].used < b->e[least].used)
            least = i;
    return least;
}

int hx_bodies_get(struct hx_bodies *b, struct hx_seg *s, const struct hx_frame_ref *f, const uint8_t **ret)
{
    uint64_t file = s->log.files[f->file]->id;
    b->clock++;
    for (size_t i = 0; i < HX_BODIES; i++) {
        if (b->e[i].seg == s && b->e[i].file == file && b->e[i].off == f->off) {
            b->e[i].used = b->clock;
            *ret = b->e[i].p;
            return 0;
        }
    }
    size_t at = least_used(b);
    drop(b, at);
    uint8_t *p = malloc(f->raw_len ? f->raw_len : 1);
    if (!p)
        return HX_E_NOMEM;
    int err = fill(b, s, f, p);
    if (err) {
        free(p);
        return err;
    }
    b->e[at].seg = s;
    b->e[at].file = file;
    b->e[at].off = f->off;
    b->e[at].len = f->raw_len;
    b->e[at].used = b->clock;
    b->e[at].p = p;
    b->bytes += f->raw_len;
    while (b->bytes > HX_BODIES_BYTES) { /* not this one: it was used last, and is smaller than that */
        size_t worst = at;
        for (size_t i = 0; i < HX_BODIES; i++)
            if (b->e[i].p && b->e[i].used < b->e[worst].used)
                worst = i;
        drop(b, worst);
    }
    *ret = p;
    return 0;
}
