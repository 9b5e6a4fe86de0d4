#!/usr/bin/env python3
"""Reads DIR/bulk_random, whose caches the caller has emptied; prints one JSON object.
  read.py DIR [SECONDS]
rand4k: 4 KiB at random places, none of them twice, at most 4,000 and without read-ahead, so that none is
warm.  seq: the whole file from the front; its pages that were read before are dropped first."""
import json
import os
import random
import sys
import time

f = os.open(os.path.join(sys.argv[1], "bulk_random"), os.O_RDONLY)
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
pages = os.fstat(f).st_size // 4096
os.posix_fadvise(f, 0, 0, os.POSIX_FADV_RANDOM)
times = []
end = time.perf_counter() + seconds
for page in random.Random(7).sample(range(pages), min(pages, 4000)):
    t = time.perf_counter()
    if t > end:
        break
    os.pread(f, 4096, page * 4096)
    times.append(time.perf_counter() - t)
os.posix_fadvise(f, 0, 0, os.POSIX_FADV_NORMAL)
times.sort()
at = lambda q: round(times[int(len(times) * q)] * 1e6)
out = {"rand4k": {"ops_s": round(len(times) / sum(times)), "p50_us": at(0.5), "p99_us": at(0.99)}}
os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
os.lseek(f, 0, 0)
t = time.perf_counter()
n = 0
while True:
    b = os.read(f, 1 << 20)
    if not b:
        break
    n += len(b)
out["seq"] = {"MB_s": round(n / 1e6 / (time.perf_counter() - t))}
print(json.dumps(out))
