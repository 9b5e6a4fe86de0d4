/*
 * world_parts.h - the client's parts (creation, recovery, writer, growth, reader) as parts of a world (reopen_world.h):
 * their effects go out, answers and failures come back.
 *
 * Does not decide when anything happens: that is the world.  A test may say, before it includes this,
 *   WORLD_DO(...)                 what stands around each call of a part (e.g. allocations that fail);
 *   WORLD_GIVE(body, give, fail)  how an answer comes: GIVE with the bytes in b, or FAIL with a code in err.
 * Pages that the reader has go into the cache, and past LOOK first.
 */
#ifndef HEXAD_TESTS_WORLD_PARTS_H
#define HEXAD_TESTS_WORLD_PARTS_H

#include "hexad/pager.h"
#include "hexad/reader.h"
#include "hexad/recovery.h"
#include "hexad/writer.h"
#include "reopen_world.h"

#ifndef WORLD_DO
#define WORLD_DO(...)    \
    do {                 \
        __VA_ARGS__;     \
    } while (0)
#endif
#ifndef WORLD_GIVE
#define WORLD_GIVE(body, give, fail) \
    do {                             \
        struct hx_bytes b = (body);  \
        give;                        \
    } while (0)
#endif

#define WORLD_PART(kind)                                                                                    \
    static inline int world_##kind##_next(void *o, struct hx_effect *e)                                     \
    {                                                                                                       \
        int more;                                                                                           \
        WORLD_DO(more = hx_##kind##_next(o, e));                                                            \
        return more;                                                                                        \
    }                                                                                                       \
    static inline void world_##kind##_answer(void *o, uint64_t now, uint64_t call, struct hx_bytes body)    \
    {                                                                                                       \
        WORLD_GIVE(body, WORLD_DO(hx_##kind##_answer(o, now, call, b)), hx_##kind##_failed(o, now, call, err)); \
    }                                                                                                       \
    static inline void world_##kind##_failed(void *o, uint64_t now, uint64_t call, int err)                 \
    {                                                                                                       \
        WORLD_DO(hx_##kind##_failed(o, now, call, err));                                                    \
    }                                                                                                       \
    static inline uint64_t world_##kind##_tick(void *o, uint64_t now)                                       \
    {                                                                                                       \
        uint64_t wait;                                                                                      \
        WORLD_DO(wait = hx_##kind##_tick(o, now));                                                          \
        return wait;                                                                                        \
    }                                                                                                       \
    static inline struct world_part world_part_##kind(struct hx_##kind *o)                                  \
    {                                                                                                       \
        return (struct world_part){o, world_##kind##_next, world_##kind##_answer, world_##kind##_failed,    \
                                   world_##kind##_tick};                                                    \
    }
WORLD_PART(create)
WORLD_PART(recovery)
WORLD_PART(writer)
WORLD_PART(growth)

/* A reader with the cache behind it. */
struct world_reader {
    struct hx_reader *reader;
    struct hx_cache *cache;
    void (*look)(void *ctx, const struct hx_reader_done *d); /* may be NULL */
    void *ctx;
};

static inline void world_reader_take(struct world_reader *r)
{
    struct hx_reader_done d;
    while (hx_reader_take(r->reader, &d)) {
        if (r->look)
            r->look(r->ctx, &d);
        if (d.err)
            hx_cache_fill_failed(r->cache, d.want, d.err);
        else
            hx_cache_fill(r->cache, d.want, d.data);
    }
}

static inline int world_reader_next(void *o, struct hx_effect *e)
{
    int more;
    WORLD_DO(more = hx_reader_next(((struct world_reader *)o)->reader, e));
    return more;
}

static inline void world_reader_failed(void *o, uint64_t now, uint64_t call, int err)
{
    struct world_reader *r = o;
    WORLD_DO(hx_reader_failed(r->reader, now, call, err); world_reader_take(r));
}

static inline void world_reader_answer(void *o, uint64_t now, uint64_t call, struct hx_bytes body)
{
    struct world_reader *r = o;
    WORLD_GIVE(body, WORLD_DO(hx_reader_answer(r->reader, now, now * 1000, call, b); world_reader_take(r)),
               world_reader_failed(o, now, call, err));
}

static inline uint64_t world_reader_tick(void *o, uint64_t now)
{
    struct world_reader *r = o;
    uint64_t wait;
    WORLD_DO(wait = hx_reader_tick(r->reader, now); world_reader_take(r));
    return wait;
}

static inline struct world_part world_part_reader(struct world_reader *r)
{
    return (struct world_part){r, world_reader_next, world_reader_answer, world_reader_failed, world_reader_tick};
}

#endif
