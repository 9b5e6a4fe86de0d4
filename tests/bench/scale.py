#!/usr/bin/env python3
"""What a volume costs by its number of groups: scale.py BUILD [--groups N,N,...] [--dir DIR] [--most GIB] [--json FILE].

Six servers on this machine, a new volume with groups of 10 GiB for each N, one page written in each group.  Measured:
the time to grow, to open after the client was killed (twice), to report status (`hexad status`), and to start a server;
the largest memory of the client and of a server; processor time of an idle server; disk use of a server.  Ends with an
error when the six have put more than --most GiB (7) on the disk.  Prints a table, and the same as JSON.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HZ = os.sysconf("SC_CLK_TCK")
NAMES = ["a1", "a2", "b1", "b2", "c1", "c2"]


def sh(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Fleet:
    def __init__(self, build, where, names=NAMES, more=""):
        """MORE: behind what each server's configuration has."""
        self.build, self.dir, self.process = build, where, {}
        self.hexad = os.path.join(build, "hexad")
        self.conf = os.path.join(where, "hexad.conf")
        sh(self.hexad, "cert", "create-ca", cwd=where)
        sh(self.hexad, "cert", "create-client", "me", cwd=where)
        lines = ["[tls]", "ca = ca.crt", "cert = me.crt", "key = me.key", "[servers]"]
        for n in names:
            port = free_port()
            sh(self.hexad, "cert", "create-server", n, cwd=where)
            lines.append("%s = az-%s https://127.0.0.1:%d" % (n, n[0], port))
            with open(os.path.join(where, n + ".conf"), "w") as f:
                f.write("[server]\nname = %s\nzone = az-%s\nlisten = 127.0.0.1:%d\ndata = %s.d\n"
                        "[tls]\nca = ca.crt\ncert = %s.crt\nkey = %s.key\n%s" % (n, n[0], port, n, n, n, more))
        with open(self.conf, "w") as f:
            f.write("\n".join(lines) + "\n")

    def start(self, name):
        """Seconds until it listens."""
        r, w = os.pipe()
        begin = time.monotonic()
        with open(os.path.join(self.dir, name + ".log"), "a") as log:
            self.process[name] = subprocess.Popen(
                [os.path.join(self.build, "hexad-segmentd"), "-c", os.path.join(self.dir, name + ".conf"), "--ready-fd",
                 str(w)], pass_fds=[w], stdout=log, stderr=log)
        os.close(w)
        if not os.read(r, 16):
            sys.exit("%s does not start: see %s" % (name, log.name))
        os.close(r)
        return time.monotonic() - begin

    def stop(self, name, how=signal.SIGTERM):
        self.process[name].send_signal(how)
        self.process.pop(name).wait()

    def end(self):
        for n in list(self.process):
            self.stop(n, signal.SIGKILL)

    def memory(self):
        """KiB: the most that a server has had in memory, of the six."""
        most = 0
        for p in self.process.values():
            with open("/proc/%d/status" % p.pid) as f:
                most = max(most, int(f.read().split("VmHWM:")[1].split()[0]))
        return most

    def cpu(self):
        total = 0
        for p in self.process.values():
            with open("/proc/%d/stat" % p.pid) as f:
                words = f.read().rsplit(")", 1)[1].split()
            total += int(words[11]) + int(words[12])
        return total / HZ

    def disk(self, name):
        return int(sh("du", "-sk", os.path.join(self.dir, name + ".d")).split()[0])

    def client(self, verb, groups):
        with open(os.path.join(self.dir, "client.log"), "a") as log:
            out = subprocess.run(
                [os.path.join(self.build, "tests/bench/bench_scale"), verb, self.conf, "vol0", str(groups)],
                stdout=subprocess.PIPE, stderr=log, text=True).stdout
        try:
            return json.loads(out)
        except ValueError:
            sys.exit("bench_scale %s of %d groups failed; see %s" % (verb, groups, self.dir))


def measure(build, where, groups, most):
    f = Fleet(build, where)
    try:
        for n in NAMES:
            f.start(n)
        sh(f.hexad, "create", "vol0", "--pg-size", "10GiB", "--config", f.conf)
        have, grow_s = 0, 0.0
        while have < groups:  # in steps, so that the disk is watched
            have = min(groups, have + 1000)
            got = f.client("fill", have)
            grow_s += got["work_s"]
            if 6 * f.disk("a1") > most * (1 << 20):
                sys.exit("the servers have more than %g GiB at %d groups" % (most, have))
        opens = [f.client("open", groups) for _ in range(2)]
        begin = time.monotonic()
        code = subprocess.run([f.hexad, "status", "vol0", "--config", f.conf], stdout=subprocess.DEVNULL).returncode
        status_s = time.monotonic() - begin
        memory = f.memory()
        time.sleep(2)
        idle, begin = f.cpu(), time.monotonic()
        time.sleep(5)
        idle = (f.cpu() - idle) / (time.monotonic() - begin) / len(NAMES)
        f.stop("a1", signal.SIGKILL)
        start_s = f.start("a1")
        return {"groups": groups, "grow_ms_a_group": round(1000 * grow_s / groups, 2),
                "open_s": round(max(o["open_s"] for o in opens), 3), "status_s": round(status_s, 2), "status": code,
                "start_s": round(start_s, 2), "client_mib": round(max(o["rss_kib"] for o in opens) / 1024, 1),
                "server_mib": round(memory / 1024, 1), "idle_percent": round(100 * idle, 2),
                "disk_kib_a_segment": round(f.disk("a1") / groups, 1)}
    finally:
        f.end()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("build")
    a.add_argument("--groups", default="1,100,1000,13107")
    a.add_argument("--dir")
    a.add_argument("--most", type=float, default=7)
    a.add_argument("--json")
    o = a.parse_args()
    rows = []
    for n in map(int, o.groups.split(",")):
        where = tempfile.mkdtemp(prefix="hexad-scale.", dir=o.dir)
        try:
            rows.append(measure(os.path.abspath(o.build), where, n, o.most))
        finally:
            shutil.rmtree(where, ignore_errors=True)
        print(" ".join("%s %s" % (k, v) for k, v in rows[-1].items()), flush=True)
    if o.json:
        with open(o.json, "w") as f:
            json.dump(rows, f, indent=1)


if __name__ == "__main__":
    main()
