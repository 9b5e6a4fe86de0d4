"""Three processes, each with two descriptors of one file, and what fsync and close of each say.

    descriptors.py FILE READY GO FSYNC CLOSE

Each process writes through its first descriptor only.  When all have, the file READY is made; when the file GO is
there, each descriptor is synced twice and closed.  Every fsync must say one of FSYNC, every close one of CLOSE: names
of errors, separated by commas; "0" is success.  The exit code is 1, and the odd answers are printed, when one does not.
"""
import errno
import os
import sys
import time

PROCESSES, DESCRIPTORS, PIECE = 3, 2, 4 << 20


def says(call, *args):
    try:
        call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "0"


def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.02)


def one(k, path, ready, go, fsync, close):
    fds = [os.open(path, os.O_RDWR | os.O_CREAT, 0o666) for _ in range(DESCRIPTORS)]
    got = says(os.pwrite, fds[0], os.urandom(PIECE), k * PIECE)
    open(f"{ready}.{k}", "w").close()
    if got != "0":
        return f"process {k} could not write: {got}"
    wait_for(go)
    odd = []
    for i, fd in enumerate(fds):
        for what, call, good in (("fsync", os.fsync, fsync), ("again", os.fsync, fsync), ("close", os.close, close)):
            got = says(call, fd)
            if got not in good:
                odd.append(f"process {k}, descriptor {i}: {what} says {got}")
    return "\n".join(odd)


def main():
    path, ready, go = sys.argv[1:4]
    fsync, close = (a.split(",") for a in sys.argv[4:6])
    children = []
    for k in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            odd = one(k, path, ready, go, fsync, close)
            if odd:
                print(odd, flush=True)
            os._exit(bool(odd))
        children.append(pid)
    for k in range(PROCESSES):
        wait_for(f"{ready}.{k}")
    open(ready, "w").close()
    return any([os.waitpid(pid, 0)[1] for pid in children])


sys.exit(main())
