/*
 * meta.c - the meta slots of a segment: promise, history, geometry or slice, base (bytes: doc/FORMAT.md).
 *
 * Two files hold the same content.  A save writes and flushes one after the other; only then may anything be
 * answered that depends on it.  Saves of several segments go side by side, step by step (seg.c).
 *   M1 When a save has returned 0, both slots hold the new generation, so that damage to either one later
 *      cannot bring an older promise back.
 *   M2 At any crash at least one slot is whole, the older or the newer; a load takes the higher generation and
 *      the caller saves it again, which restores M1.
 *   M3 A save begins with the slot that is known not to be whole, so that the whole one stays until there are two.
 *   M4 Before the first save of a process the slot that it will not begin with is flushed: the process before may have
 *      been killed between write and flush, and then what was read is on no medium yet.
 *   M5 A slot of a newer program, or with a geometry of one, refuses the segment, whatever the other slot says: a
 *      program that brings a new version of anything saves both slots with theirs first.
 * Slots are HX_META_RESERVE bytes from the start: a promise on a full disk needs no new block.
 * Does not decide anything; rules.c does.
 */
#include "store.h"

#include "hexad/mutant.h"

#include <stdlib.h>

#define META_MAGIC 0x314d5848u /* "HXM1" */
#define META_VERSION 3 /* what has no flags is written as version 1, which has no place for them; see version_of */
#define META_FLAGS (HX_META_FILLING | HX_META_RETIRED | HX_META_TURNING) /* that there are */
#define META_LIFE 16u  /* bytes behind the geometry, from version 3 on */
#define META_HEAD 104u
#define META_BODY_MAX (64u << 20) /* what a load accepts */

void hx_meta_fini(struct hx_meta *m)
{
    hx_history_fini(&m->history);
    hx_geometry_fini(&m->geometry);
    *m = (struct hx_meta){0};
}

/* The oldest that has room for what there is to say. */
static unsigned version_of(const struct hx_meta *m)
{
    return m->life > 1 || m->flags & HX_META_RETIRED ? 3 : m->flags ? 2 : 1;
}

static void head_encode(const struct hx_disk_place *at, const struct hx_uuid *server, const struct hx_meta *m,
                        uint8_t *out, size_t body_len)
{
    struct hx_enc e = hx_enc_init(out, META_HEAD);
    hx_enc_u32(&e, META_MAGIC);
    hx_enc_u16(&e, (uint16_t)version_of(m));
    hx_enc_u16(&e, m->flags);
    hx_enc_u64(&e, m->generation);
    hx_enc_uuid(&e, &at->volume);
    hx_enc_u32(&e, at->pg);
    hx_enc_u32(&e, (uint32_t)body_len);
    hx_enc_uuid(&e, server);
    hx_enc_u64(&e, m->promised.v);
    hx_enc_uuid(&e, &m->owner);
    hx_enc_u64(&e, m->base.v);
    hx_enc_u64(&e, m->oldest.v);
    hx_enc_u32(&e, hx_crc32c(0, out + META_HEAD, body_len));
    hx_enc_u32(&e, hx_crc32c(0, out, META_HEAD - 4));
    hx_assert(!e.err && e.len == META_HEAD);
}

int hx_meta_save_begin(struct hx_meta_save *w, struct hx_disk *d, const struct hx_disk_place *at,
                       const struct hx_uuid *server, struct hx_meta *m)
{
    *w = (struct hx_meta_save){.disk = d};
    size_t body = hx_history_encoded_len(&m->history) + hx_geometry_encoded_len(&m->geometry);
    body += version_of(m) >= 3 ? META_LIFE : 0;
    hx_assert(body <= META_BODY_MAX); /* each came in a message, or from here */
    /* The first save of a segment writes the reserve, too; later ones what they need, in whole sectors. */
    size_t n = (META_HEAD + body + 511) / 512 * 512;
    n = m->generation == 0 && n < HX_META_RESERVE ? HX_META_RESERVE : n;
    uint8_t *p = calloc(1, n);
    if (!p)
        return HX_E_NOMEM;
    m->generation++;
    struct hx_enc e = hx_enc_init(p + META_HEAD, n - META_HEAD);
    hx_history_encode(&m->history, &e);
    hx_geometry_encode(&m->geometry, &e);
    if (version_of(m) >= 3) {
        hx_enc_u64(&e, m->life);
        hx_enc_u64(&e, m->first_file);
    }
    hx_assert(!e.err && e.len == body);
    head_encode(at, server, m, p, e.len);
    w->p = p;
    w->len = n;
    return 0;
}

uint64_t hx_meta_save_next(struct hx_meta_save *w, const struct hx_meta *m)
{
    unsigned step = w->err ? HX_META_SLOTS + 1 : w->step;
    if (step == 0 && m->unsure)
        return m->first == 2 ? 1 : 2; /* M4 */
    step += step == 0;
    w->step = step;
    if (step > HX_META_SLOTS || (HX_MUTANT(META_ONE_SLOT) && step > 1 && m->generation > 1))
        return 0;
    uint64_t slot = m->first == 2 ? 3 - step : step; /* M3 */
    w->err = w->disk->ops->write(w->disk, slot, 0, w->p, w->len);
    return w->err ? 0 : slot;
}

void hx_meta_save_flushed(struct hx_meta_save *w, struct hx_meta *m, int err)
{
    if (w->step == 0) {
        err = err == HX_E_NOENT ? 0 : err;
        m->unsure = err != 0;
    } else {
        err = err == HX_E_NOSPACE ? HX_E_IO : err; /* only a write may be tried again */
    }
    w->step++;
    w->err = err;
}

int hx_meta_save_end(struct hx_meta_save *w, struct hx_meta *m)
{
    m->first = w->err ? m->first : 0;
    free(w->p);
    w->p = NULL;
    return w->err;
}

int hx_meta_save(struct hx_disk *d, const struct hx_disk_place *at, const struct hx_uuid *server, struct hx_meta *m)
{
    struct hx_meta_save w;
    int err = hx_meta_save_begin(&w, d, at, server, m);
    if (err)
        return err;
    for (uint64_t slot; (slot = hx_meta_save_next(&w, m)) != 0;)
        hx_meta_save_flushed(&w, m, d->ops->flush(d, slot));
    return hx_meta_save_end(&w, m);
}

static int body_decode(const uint8_t *p, size_t len, const struct hx_disk_place *at, unsigned version,
                       struct hx_meta *m)
{
    struct hx_dec d = hx_dec_init(p, len);
    int err = hx_history_decode(&m->history, &d);
    if (!err)
        err = hx_geometry_decode_any(&m->geometry, &d);
    if (!err && !hx_geometry_row(&m->geometry, at->pg))
        err = HX_E_BADMSG; /* not of this segment: it has no members */
    m->life = 1;
    if (!err && version >= 3) {
        m->life = hx_dec_u64(&d);
        m->first_file = hx_dec_u64(&d);
    }
    if (!err)
        err = hx_dec_end(&d);
    if (!err) /* older programs kept the whole */
        err = hx_geometry_slice(&m->geometry, at->pg, &m->geometry);
    return err == 0 || err == HX_E_VERSION || err == HX_E_NOMEM ? err : HX_E_CORRUPT;
}

static int slot_head(const uint8_t *head, const struct hx_disk_place *at, struct hx_meta *m, struct hx_uuid *server,
                     unsigned *ret_version, uint32_t *body_len, uint32_t *body_crc)
{
    struct hx_dec d = hx_dec_init(head, META_HEAD);
    int err = hx_version_check(head, META_HEAD, META_MAGIC, META_VERSION, META_HEAD - 4);
    if (err == HX_E_CORRUPT)
        return err;
    hx_dec_u32(&d);
    unsigned version = hx_dec_u16(&d), flags = hx_dec_u16(&d);
    *ret_version = version;
    m->flags = (uint16_t)(version == 1 ? 0 : flags);
    err = err ? err : m->flags & ~META_FLAGS ? HX_E_VERSION : 0;
    m->generation = hx_dec_u64(&d);
    struct hx_uuid volume = hx_dec_uuid(&d);
    uint32_t pg = hx_dec_u32(&d);
    *body_len = hx_dec_u32(&d);
    *server = hx_dec_uuid(&d);
    m->promised = HX_EPOCH(hx_dec_u64(&d));
    m->owner = hx_dec_uuid(&d);
    m->base = HX_LSN(hx_dec_u64(&d));
    m->oldest = HX_LSN(hx_dec_u64(&d));
    *body_crc = hx_dec_u32(&d);
    if (!hx_uuid_eq(&volume, &at->volume) || pg != at->pg)
        return HX_E_CORRUPT; /* a slot of another segment: misplaced */
    return err ? err : *body_len > META_BODY_MAX ? HX_E_CORRUPT : 0;
}

int hx_meta_slot(struct hx_disk *d, uint64_t slot, const struct hx_disk_place *at, const struct hx_uuid *server,
                 struct hx_meta *ret)
{
    uint8_t head[META_HEAD];
    size_t got;
    int err = d->ops->read(d, slot, 0, head, sizeof head, &got);
    if (err)
        return err;
    if (got < sizeof head)
        return HX_E_CORRUPT;
    struct hx_meta m = {0};
    struct hx_uuid owner_server;
    uint32_t len, crc;
    unsigned version;
    err = slot_head(head, at, &m, &owner_server, &version, &len, &crc);
    if (err)
        return err;
    if (!hx_uuid_eq(&owner_server, server))
        return HX_E_STRANGER;
    uint8_t *body = malloc(len ? len : 1);
    if (!body)
        return HX_E_NOMEM;
    err = d->ops->read(d, slot, META_HEAD, body, len, &got);
    if (!err && (got != len || hx_crc32c(0, body, len) != crc))
        err = HX_E_CORRUPT;
    if (!err)
        err = body_decode(body, len, at, version, &m);
    free(body);
    if (err) {
        hx_meta_fini(&m);
        return err;
    }
    *ret = m;
    return 0;
}

/* Which of two failures tells more: a stranger's slot, then what the disk said, then damage, then nothing there. */
static int worse(int a, int b)
{
    static const int order[] = {HX_E_STRANGER, HX_E_VERSION, HX_E_NOMEM, HX_E_IO, HX_E_CORRUPT};
    for (size_t i = 0; i < HX_ARRAY_LEN(order); i++)
        if (a == order[i] || b == order[i])
            return order[i];
    return a;
}

int hx_meta_load(struct hx_disk *d, const struct hx_disk_place *at, const struct hx_uuid *server, struct hx_meta *ret,
                 bool *ret_uneven)
{
    struct hx_meta a = {0}, b = {0};
    int ea = hx_meta_slot(d, 1, at, server, &a), eb = hx_meta_slot(d, 2, at, server, &b);
    if ((ea && eb) || ea == HX_E_VERSION || eb == HX_E_VERSION) { /* M5 */
        hx_meta_fini(&a);
        hx_meta_fini(&b);
        return worse(ea, eb);
    }
    *ret_uneven = ea || eb || a.generation != b.generation;
    if (!ea && (eb || a.generation >= b.generation)) {
        hx_meta_fini(&b);
        *ret = a;
        ret->first = eb ? 2 : 0; /* one that is older, but whole, is what a torn write would leave */
    } else {
        hx_meta_fini(&a);
        *ret = b;
    }
    ret->unsure = true;
    return 0;
}

int hx_meta_check(struct hx_disk *d, const struct hx_disk_place *at, const struct hx_uuid *server,
                  const struct hx_meta *m, unsigned *ret_bad)
{
    unsigned bad = 0;
    for (unsigned slot = 1; slot <= HX_META_SLOTS; slot++) {
        struct hx_meta t = {0};
        int err = hx_meta_slot(d, slot, at, server, &t);
        if (err == HX_E_IO) /* not every error comes back */
            err = hx_meta_slot(d, slot, at, server, &t);
        if (err == HX_E_NOMEM || err == HX_E_VERSION)
            return err;
        if (err || t.generation != m->generation) /* M1: an older one is stale */
            bad |= slot;
        hx_meta_fini(&t);
    }
    *ret_bad = bad;
    return 0;
}
