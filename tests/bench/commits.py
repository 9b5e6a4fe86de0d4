"""What rebuild.py and catchup.py share: a sequential write, and commits one after the other."""
import os
import random
import time

MIB = 1 << 20


def bulk(path, seed, mib):
    """Seconds that MIB take which no two pages have in common, with one fsync."""
    noise = random.Random(seed).randbytes(MIB)
    fd = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    start = time.perf_counter()
    for i in range(mib):
        os.pwrite(fd, i.to_bytes(8, "little") + os.urandom(65536) + noise[65544:], i * MIB)
    os.fsync(fd)
    took = time.perf_counter() - start
    os.close(fd)
    return took


class Commits:
    """4 KiB pwrite and fdatasync at random places, one after the other; how long each took."""

    def __init__(self, directory):
        self.fd = os.open(os.path.join(directory, "commits"), os.O_CREAT | os.O_RDWR, 0o600)
        os.ftruncate(self.fd, 16 * MIB)
        self.rng = random.Random(3)

    def until(self, end):
        """Until END(how many) is true: p99 in seconds, and how many."""
        times = []
        while not end(len(times)):
            start = time.perf_counter()
            os.pwrite(self.fd, self.rng.randbytes(4096), self.rng.randrange(4096) * 4096)
            os.fdatasync(self.fd)
            times.append(time.perf_counter() - start)
        times.sort()
        return times[min(len(times) - 1, int(len(times) * 0.99))], len(times)

    def close(self):
        os.close(self.fd)
