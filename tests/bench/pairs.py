#!/usr/bin/env python3
"""What programs do with many files, and PostgreSQL: on two directories in turn, so that both see the same machine.

  pairs.py LOCAL MOUNT SOURCE [--rounds 3] [--seconds 1] [--only create,untar] [--program DIR]

Each round runs each workload in LOCAL and in MOUNT, one right after the other, the order changing from round to round.
Prints one JSON object: of each workload the unit, the medians of both, the median of the rounds' ratios and all of
them.  Where less is better (seconds), the ratio is local / mount: 1 is as fast as local, everywhere.

create   files of 1,000 bytes made, written and closed in one directory
untar    SOURCE (a checkout of this project) unpacked from a tar archive in memory, by tar
clone    git clone of SOURCE through file://, so that no object is shared or linked
remove   rm -r of what untar made
pgbench  PostgreSQL (data checksums, all else as it comes): initdb, pgbench -i -s 5 once; then pgbench -c 4.  As root it
         runs as the user postgres: MOUNT must be mounted with allow_other.  --program: where initdb and pgbench are
Nothing is synced but what the programs sync.  Memory: the archive.
"""
import argparse
import glob
import json
import os
import pwd
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time


def run(*words, **more):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    if done.returncode:
        raise OSError("%s: exit code %d: %s" % (words[0], done.returncode, done.stderr.decode(errors="replace")[-500:]))
    return done.stdout


class Create:
    unit, less = "files/s", False

    def __init__(self, a):
        self.seconds = a.seconds

    def once(self, where):
        base = tempfile.mkdtemp(dir=where)
        block, n = b"x" * 1000, 0
        start = time.perf_counter()
        while time.perf_counter() - start < self.seconds:
            for _ in range(20):
                f = os.open("%s/%d" % (base, n), os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o644)
                os.write(f, block)
                os.close(f)
                n += 1
        rate = n / (time.perf_counter() - start)
        shutil.rmtree(base)
        return rate


class Untar:
    """Also gives the seconds of removing what it made."""
    unit, less = "s", True

    def __init__(self, a):
        try:
            self.tar = run("git", "-C", a.source, "archive", "HEAD")
        except OSError: # no repository: whatever lies there, but for what was built
            self.tar = run("tar", "-C", a.source, "--exclude=./build*", "-c", ".")
        self.removed = {}

    def once(self, where):
        base = tempfile.mkdtemp(dir=where)
        start = time.perf_counter()
        run("tar", "-C", base, "-x", "--no-same-owner", input=self.tar)
        took = time.perf_counter() - start
        start = time.perf_counter()
        run("rm", "-r", base)
        self.removed.setdefault(where, []).append(time.perf_counter() - start)
        return took


class Remove:
    """The removals that untar has timed, round by round."""
    unit, less = "s", True

    def __init__(self, untar):
        self.untar = untar

    def once(self, where):
        if not self.untar.removed.get(where):
            self.untar.once(where)
        return self.untar.removed[where].pop(0)


class Clone:
    unit, less = "s", True

    def __init__(self, a):
        self.source = run("git", "-C", a.source, "rev-parse", "--path-format=absolute", "--git-common-dir").decode().strip()

    def once(self, where):
        base = tempfile.mkdtemp(dir=where)
        start = time.perf_counter()
        run("git", "clone", "-q", "file://" + self.source, base + "/clone")
        took = time.perf_counter() - start
        shutil.rmtree(base)
        return took


class Pgbench:
    unit, less = "tx/s", False

    def __init__(self, a):
        found = [a.program] if a.program else sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        self.bin = found[-1] if found else os.path.dirname(shutil.which("initdb") or "")
        if not os.path.exists(os.path.join(self.bin, "initdb")):
            raise OSError("no initdb")
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.seconds = max(3, round(a.seconds * 5))
        self.ready = {}

    def pg(self, name, *words, **env):
        path = os.path.join(self.bin, name)
        path = path if os.path.exists(path) else shutil.which(name)
        more = dict(user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[], cwd="/") if self.user else {}
        return run(path, *words, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/", **env}, **more)

    def make(self, where):
        base = tempfile.mkdtemp(dir=where)
        talk = tempfile.mkdtemp()
        if self.user:
            for d in (base, talk):
                os.chown(d, self.user.pw_uid, self.user.pw_gid)
        self.pg("initdb", "-k", "-A", "trust", "-U", "postgres", "-D", base + "/db")
        port = socket.create_server(("127.0.0.1", 0)).getsockname()[1]
        self.ready[where] = (base, talk, port)
        self.start(where)
        self.pg("pgbench", "-h", talk, "-p", str(port), "-U", "postgres", "-i", "-s", "5", "-q", "postgres")
        self.stop(where)

    def start(self, where):
        base, talk, port = self.ready[where]
        self.pg("pg_ctl", "-D", base + "/db", "-w", "-t", "120", "-l", base + "/log", "-o",
                "-c listen_addresses= -k %s -p %d" % (talk, port), "start")

    def stop(self, where):
        self.pg("pg_ctl", "-D", self.ready[where][0] + "/db", "-m", "fast", "-w", "-t", "120", "stop")

    def once(self, where):
        if where not in self.ready:
            self.make(where)
        _, talk, port = self.ready[where]
        self.start(where)
        out = self.pg("pgbench", "-h", talk, "-p", str(port), "-U", "postgres", "-c", "4", "-j", "2", "-T",
                      str(self.seconds), "postgres").decode()
        self.stop(where)
        return float(out.split("tps = ")[1].split()[0])

    def end(self):
        for base, talk, _ in self.ready.values():
            shutil.rmtree(base)
            shutil.rmtree(talk)


def made(a):
    untar = Untar(a)
    kinds = {"create": lambda: Create(a), "untar": lambda: untar, "remove": lambda: Remove(untar), "clone": lambda: Clone(a),
             "pgbench": lambda: Pgbench(a)}
    for name, make in kinds.items():
        if a.only and name not in a.only.split(","):
            continue
        try:
            yield name, make()
        except (OSError, KeyError) as e:
            print("pairs: %s is left out: %s" % (name, e), file=sys.stderr)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("local")
    p.add_argument("mount")
    p.add_argument("source")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=1.0)
    p.add_argument("--only", default="")
    p.add_argument("--program", default="")
    a = p.parse_args()
    a.local, a.mount = os.path.abspath(a.local), os.path.abspath(a.mount)
    out = {}
    for name, work in made(a):
        got = []
        for i in range(a.rounds):
            pair = {}
            for where in (a.local, a.mount) if i % 2 == 0 else (a.mount, a.local):
                pair[where] = work.once(where)
            here, there = pair[a.mount], pair[a.local]
            got.append((there / here if work.less else here / there, here, there))
        if hasattr(work, "end"):
            work.end()
        mid = lambda k: statistics.median(g[k] for g in got)
        out[name] = {"unit": work.unit, "less": work.less, "mount": round(mid(1), 4), "local": round(mid(2), 4),
                     "ratio": round(mid(0), 3), "ratios": [round(g[0], 3) for g in got]}
        print("pairs: %s %s" % (name, out[name]), file=sys.stderr)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
