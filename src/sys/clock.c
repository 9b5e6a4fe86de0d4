/*
 * clock.c - clocks and randomness of the system.  Decides nothing; pure layers get time in their events.
 * Threads: any.  Memory: none.
 */
#include "hexad/assert.h"
#include "hexad/sys.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static uint64_t now_us(clockid_t id)
{
    struct timespec t;
    int rc = clock_gettime(id, &t);
    hx_assert(rc == 0);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

uint64_t hx_clock_mono_us(void)
{
    return now_us(CLOCK_MONOTONIC);
}

uint64_t hx_clock_mono_ms(void)
{
    return now_us(CLOCK_MONOTONIC) / 1000u;
}

uint64_t hx_clock_wall_us(void)
{
    return now_us(CLOCK_REALTIME);
}

void hx_random(void *buf, size_t len)
{
    uint8_t *p = buf;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0) {
            hx_assert(errno == EINTR); /* the other errors are wrong arguments, or a kernel before 3.17 */
            continue;
        }
        p += n;
        len -= (size_t)n;
    }
}

struct hx_uuid hx_random_uuid(void)
{
    struct hx_uuid id;
    hx_random(id.b, sizeof id.b);
    return id;
}

uint64_t hx_random_u64(void)
{
    uint64_t v;
    hx_random(&v, sizeof v);
    return v;
}
