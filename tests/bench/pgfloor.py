#!/usr/bin/env python3
"""What pgbench would do if a commit were six flushes, four waited for, and nothing else: no FUSE, no TLS, no HTTP, no log.

  pgfloor.py BENCH_FLOOR LOCAL [MOUNT] [--rounds 3] [--seconds 1]

Three PostgreSQL in turn, as pairs.py has it: on LOCAL; on LOCAL with flush_shim.c in it and `BENCH_FLOOR flushd` beside it;
and on MOUNT, if that is given.  Of each: transactions a second, microseconds of processors a transaction (of everything on the
machine), processors idle, and the median of the ratios to LOCAL.  Needs cc.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pairs # noqa: E402


class Shimmed(pairs.Pgbench):
    def pg(self, name, *words):
        return super().pg(name, *words, **(self.extra if name == "pg_ctl" and words[-1] == "start" else {}))


def ticks():
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return sum(v[:3]) + sum(v[5:7]), v[3], sum(v)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("bench_floor")
    p.add_argument("local")
    p.add_argument("mount", nargs="?")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=1.0)
    a = p.parse_args()
    a.program = ""
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory(dir=a.local) as work:
        os.chmod(work, 0o755)
        shim, talk = work + "/shim.so", work + "/flush"
        subprocess.run(["cc", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", "-o", shim, here + "/../fault/flush_shim.c"], check=True)
        os.mkdir(talk)
        servers = subprocess.Popen([a.bench_floor, "flushd", talk], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        servers.stdout.readline()
        os.chmod(talk, 0o755)
        for i in range(6):
            os.chmod("%s/%d" % (talk, i), 0o777)
        floor = Shimmed(a)
        floor.extra = {"LD_PRELOAD": shim, "FLOOR_DIR": talk}
        kinds = [("local", pairs.Pgbench(a), work + "/l"), ("floor", floor, work + "/f")]
        kinds += [("mount", pairs.Pgbench(a), a.mount)] if a.mount else []
        got = {k[0]: [] for k in kinds}
        for k in kinds[:2]:
            os.mkdir(k[2])
        for i in range(a.rounds):
            for name, work_load, where in kinds[i % len(kinds):] + kinds[:i % len(kinds)]:
                if not got[name]:
                    work_load.make(where)
                was = ticks()
                tps = work_load.once(where)
                busy, idle, whole = (y - x for x, y in zip(was, ticks()))
                got[name].append((tps, busy * 1e4 / (tps * work_load.seconds), 100 * idle / whole))
        for name, work_load, _ in kinds:
            mid = [statistics.median(g[k] for g in got[name]) for k in range(3)]
            ratio = statistics.median(g[0] / l[0] for g, l in zip(got[name], got["local"]))
            print("%-6s %6.0f tx/s  %5.0f us of processors  %2.0f %% idle  ratio %.3f" % (name, *mid, ratio))
            work_load.end()
        servers.stdin.close()
        servers.wait()


main()
