/*
 * bench.c - see bench.h.
 */
#include "bench.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

void die(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

int zero_filled(const char *path, size_t bytes)
{
    static uint8_t zeros[1 << 20];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        die("%s: %s", path, strerror(errno));
    for (size_t n = 0; n < bytes; n += sizeof zeros)
        if (write(fd, zeros, sizeof zeros) != (ssize_t)sizeof zeros)
            die("%s: %s", path, strerror(errno));
    if (fsync(fd))
        die("%s: %s", path, strerror(errno));
    return fd;
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double quantile(double *values, size_t count, double q)
{
    if (!count)
        return 0;
    qsort(values, count, sizeof *values, by_value);
    size_t i = (size_t)((double)count * q);
    return values[i < count ? i : count - 1];
}

void drop_caches(void)
{
    sync();
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "3", 1) != 1)
        fprintf(stderr, "%s: caches cannot be dropped: what follows is warm\n", program_invocation_short_name);
    if (fd >= 0)
        close(fd);
}
