#!/usr/bin/env python3
"""Prints one line for each name below DIR: type, mode, owner, size, mtime in nanoseconds, content's checksum, link
target, and which names are one file.  Two trees are the same when their manifests are.
  manifest.py DIR [--no-times]"""
import errno
import hashlib
import os
import stat
import sys

ZEROS = bytes(1 << 20)


def checksum(path, size):
    """Of the non-zero blocks and where they stand: a hole and a block of zeros are the same content, and a sparse
    terabyte is not read byte by byte."""
    total = hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        at = 0
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError as e:
                if e.errno == errno.ENXIO:
                    break
                raise
            at -= at % len(ZEROS)
            block = os.pread(f.fileno(), len(ZEROS), at)
            if block != ZEROS[:len(block)]:
                total.update(b"%d:" % at + block.rstrip(b"\0"))
            at += len(ZEROS)
    return total.hexdigest()


root, times = sys.argv[1], "--no-times" not in sys.argv
first = {}
found = []
for base, dirs, files in os.walk(root):
    for n in dirs + files:
        found.append(os.path.relpath(os.path.join(base, n), root))
for name in sorted(found):
    path = os.path.join(root, name)
    s = os.lstat(path)
    what = [name.encode("utf-8", "surrogateescape").decode("latin-1"), "%o" % s.st_mode, s.st_uid, s.st_gid]
    if stat.S_ISREG(s.st_mode):
        what += [s.st_size, checksum(path, s.st_size)]
    elif stat.S_ISLNK(s.st_mode):
        what += ["->", os.readlink(path)]
    if times:
        what.append("mtime=%d" % s.st_mtime_ns)
    if s.st_nlink > 1 and not stat.S_ISDIR(s.st_mode):
        what += ["nlink=%d" % s.st_nlink, "same-as", first.setdefault(s.st_ino, what[0])]
    print(*what)
