/*
 * bodies.c - a small cache of raw frame bodies, so that reading pages out of one compressed frame does not
 * decompress it again for each of them.
 *
 * Entries are known by (segment, log file, offset); log files are never written twice at one place while a
 * process lives, so an entry never gets stale.  Every body was checked against its crc when it came in.
 * Commits are small, so most frames are: what is bounded is the bytes, and the entries only because they are
 * searched one by one.  The one that was not used for longest goes first.
 * Memory: at most HX_BODIES_BYTES, each entry as large as its body; shared by all segments of a node.  A body
 * that was given out stays until the next one is asked for.
 */
#include "store.h"

#include <stdlib.h>

int hx_bodies_init(struct hx_bodies *b)
{
    *b = (struct hx_bodies){0};
    b->frame = malloc(HX_FRAME_MAX);
    return b->frame ? 0 : HX_E_NOMEM;
}

static void drop(struct hx_bodies *b, size_t i)
{
    free(b->e[i].p);
    b->bytes -= b->e[i].len;
    b->e[i] = b->e[--b->count];
}

void hx_bodies_fini(struct hx_bodies *b)
{
    while (b->count)
        drop(b, 0);
    free(b->frame);
    *b = (struct hx_bodies){0};
}

void hx_bodies_forget(struct hx_bodies *b, const struct hx_seg *s)
{
    for (size_t i = b->count; i-- > 0;)
        if (b->e[i].seg == s)
            drop(b, i);
}

static int fill(struct hx_bodies *b, struct hx_seg *s, const struct hx_frame_ref *f, uint8_t *to)
{
    const uint8_t *raw;
    struct hx_frame_head h = {
        .codec = f->codec, .raw_len = f->raw_len, .body_len = f->body_len, .body_crc = f->body_crc};
    uint8_t *body = f->codec == 0 ? to : b->frame;
    hx_assert(f->raw_len <= HX_FRAME_RAW_MAX && f->body_len <= HX_FRAME_MAX - HX_FRAME_HEAD); /* side.c, log.c */
    hx_assert(f->codec || f->body_len == f->raw_len);
    int err = hx_log_read(s, f->file, f->off + HX_LOG_ENV + HX_FRAME_HEAD, body, f->body_len);
    if (!err)
        err = hx_frame_open(s->env->opener, &h, body, to, &raw);
    return err == HX_E_BADMSG ? HX_E_CORRUPT : err;
}

/* Room for LEN bytes more, and an entry for them. */
static void make_room(struct hx_bodies *b, size_t len)
{
    while (b->count == HX_BODIES || (b->count && b->bytes + len > HX_BODIES_BYTES)) {
        size_t oldest = 0;
        for (size_t i = 1; i < b->count; i++)
            if (b->e[i].used < b->e[oldest].used)
                oldest = i;
        drop(b, oldest);
    }
}

int hx_bodies_get(struct hx_bodies *b, struct hx_seg *s, const struct hx_frame_ref *f, const uint8_t **ret)
{
    uint64_t file = s->log.files[f->file]->id;
    b->clock++;
    for (size_t i = 0; i < b->count; i++)
        if (b->e[i].off == f->off && b->e[i].file == file && b->e[i].seg == s) {
            b->e[i].used = b->clock;
            *ret = b->e[i].p;
            return 0;
        }
    make_room(b, f->raw_len);
    uint8_t *p = malloc(f->raw_len);
    if (!p)
        return HX_E_NOMEM;
    int err = fill(b, s, f, p);
    if (err) {
        free(p);
        return err;
    }
    b->e[b->count++] = (struct hx_body){s, file, b->clock, f->off, f->raw_len, p};
    b->bytes += f->raw_len;
    *ret = p;
    return 0;
}
