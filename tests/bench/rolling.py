#!/usr/bin/env python3
"""What commits feel while every server is restarted in order (SIGTERM), one zone after the other.

  rolling.py HEXAD SECONDS

Makes a demo in a directory of its own.  Commits (4 KiB pwrite + fdatasync on the mount) go on all the time: first for
SECONDS with nothing else, then until each zone was away for SECONDS and complete again, which `hexad status` says.
Prints one JSON object: milliseconds, commits, and commits that failed.  Nothing is asserted.
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

hexad, seconds = os.path.abspath(sys.argv[1]), float(sys.argv[2])
top = tempfile.mkdtemp(prefix="hexad-rolling.")
env = dict(os.environ, HEXAD_CONFIG=os.path.join(top, "d", "hexad.conf"))
demo = subprocess.Popen([hexad, "demo", "--dir", top + "/d", "--keep", "--json"], stdout=subprocess.PIPE, text=True)
phase, times, failed, ended = "quiet", {"quiet": [], "rolling": []}, [], False


def commits(path):
    fd, rng = os.open(path, os.O_CREAT | os.O_RDWR, 0o600), random.Random(3)
    os.ftruncate(fd, 16 << 20)
    while not ended:
        start = time.perf_counter()
        try:
            os.pwrite(fd, rng.randbytes(4096), rng.randrange(4096) * 4096)
            os.fdatasync(fd)
        except OSError as e:
            failed.append(str(e))
        times[phase].append(time.perf_counter() - start)
    os.close(fd)


def status():
    r = subprocess.run([hexad, "status", "vol0", "--json"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(r.stdout) if r.returncode == 0 else {"zones": []}


def level(zone):
    return any(z["name"] == zone and z["may_go"] for z in status()["zones"])


def figures(v):
    v = sorted(v)
    at = lambda q: round(v[min(len(v) - 1, int(len(v) * q))] * 1e3, 2)
    return {"commits": len(v), "p50_ms": at(0.5), "p99_ms": at(0.99), "p999_ms": at(0.999), "max_ms": at(1)}


try:
    text = ""
    while True:  # one document, perhaps of several lines
        text += demo.stdout.readline()
        try:
            made = json.loads(text)
            break
        except ValueError:
            if demo.poll() is not None:
                sys.exit("the demo ended")
    thread = threading.Thread(target=commits, args=(os.path.join(made["mount"], "commits"),))
    thread.start()
    time.sleep(seconds)
    phase = "rolling"
    for zone in sorted({s["zone"] for s in made["servers"]}):
        while not level(zone):
            time.sleep(0.1)
        for s in made["servers"]:
            if s["zone"] == zone:
                os.kill(s["pid"], signal.SIGTERM)
        time.sleep(seconds)
        subprocess.run([hexad, "demo", "heal", "--dir", top + "/d"], check=True, stdout=subprocess.DEVNULL)
    while not all(level(zone) for zone in {s["zone"] for s in made["servers"]}):
        time.sleep(0.1)
    ended = True
    thread.join()
    print(json.dumps({"quiet": figures(times["quiet"]), "rolling": figures(times["rolling"]), "failed": len(failed)}))
finally:
    ended = True
    demo.send_signal(signal.SIGINT)
    demo.wait()
    shutil.rmtree(top, ignore_errors=True)
