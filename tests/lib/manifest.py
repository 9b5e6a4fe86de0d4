#!/usr/bin/env python3
"""Prints one line for each name below DIR: type, mode, owner, size, mtime in nanoseconds, content's checksum, link target,
and which names are one file.  Two trees are the same when their manifests are.
  manifest.py DIR [--no-times]"""
import hashlib
import os
import stat
import sys

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
        with open(path, "rb") as f:
            what += [s.st_size, hashlib.sha256(f.read()).hexdigest()]
    elif stat.S_ISLNK(s.st_mode):
        what += ["->", os.readlink(path)]
    if times:
        what.append("mtime=%d" % s.st_mtime_ns)
    if s.st_nlink > 1 and not stat.S_ISDIR(s.st_mode):
        what += ["nlink=%d" % s.st_nlink, "same-as", first.setdefault(s.st_ino, what[0])]
    print(*what)
