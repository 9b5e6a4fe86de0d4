#!/usr/bin/env python3
"""Evaluates a Python expression over `hexad status VOLUME --json`; succeeds when it is true.

  status.py HEXAD VOLUME EXPRESSION         exit 0 when true; prints what it saw when not
  status.py HEXAD VOLUME --print EXPRESSION prints the value

Names in the expression: code (exit code of hexad status), doc (the whole document), state, epoch, writer, text
(the document as text), segments (list of dicts), seg("c1"), scls(pg) (sorted SCLs of its members that answered), pgs
(number of protection groups)."""
import json
import subprocess
import sys

program, volume = sys.argv[1:3]
r = subprocess.run([program, "status", volume, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
code, text = r.returncode, r.stdout
try:
    doc = json.loads(text)
except ValueError:
    doc = {}
segments = doc.get("segments", [])
state, epoch, writer = doc.get("state"), doc.get("epoch"), doc.get("writer")


def seg(name):
    return next((s for s in segments if s.get("name") == name or s.get("segment") == name), {})


def scls(pg):
    return sorted(s["scl"] for s in segments if s.get("pg", 0) == pg and s.get("scl") is not None)


pgs = len({s.get("pg", 0) for s in segments})
try:
    value = eval(sys.argv[-1], globals())
except Exception as e:
    value = None
    print("%s: %s" % (type(e).__name__, e), file=sys.stderr)
if sys.argv[3] == "--print":
    print(value)
    sys.exit(value is None)
if not value:
    print("hexad status ended with %d and said:\n%s%s" % (code, text, r.stderr))
    sys.exit(1)
