#!/usr/bin/env python3
"""Commits numbered transactions with SQLite and notes outside the volume which ones were acknowledged.

  loader.py DB LOG [--mode wal|delete|truncate|persist] [--count N] [--stop FILE] [--pause S]  commits
  loader.py --verify DB LOG                                                                   checks

Transaction n inserts n % 3 + 1 rows whose content follows from n.  The log gets "? n" before it begins, "n" after
commit has returned, and "! text" when anything failed; it lies outside the volume, and needs no flush, for the machine
itself never dies.  Verified: pragma integrity_check; the transactions present are 1..k without a gap or a half; each
row's content; k is not below any acknowledged one and not above the last one begun.
"""
import argparse
import hashlib
import os
import sqlite3
import sys
import time


def content(tx, row):
    seed = hashlib.sha256(b"%d.%d" % (tx, row)).digest()
    return (seed * 40)[: 20 + tx * 37 % 1200]


def load(a):
    log = os.open(a.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    say = lambda text: os.write(log, (text + "\n").encode())
    try:
        db = sqlite3.connect(a.db, isolation_level=None, timeout=120)
        mode = db.execute("pragma journal_mode=" + a.mode).fetchone()[0]
        if mode != a.mode:
            raise RuntimeError("journal mode %s became %s" % (a.mode, mode))
        # In DELETE mode the removal of the journal is the commit, and FULL does not sync the directory after it;
        # EXTRA does, but takes no notice when the directory cannot be opened any more, as on a mount that has just
        # been killed.  Both are SQLite's own; so the loader syncs the directory itself before it calls a transaction
        # acknowledged.
        db.execute("pragma synchronous=full")
        directory = os.open(os.path.dirname(a.db) or ".", os.O_RDONLY)
        db.execute("create table if not exists t(id integer primary key, tx integer, row integer, v blob)")
        tx = (db.execute("select max(tx) from t").fetchone()[0] or 0) + 1
        last = tx + a.count if a.count else None
        while tx != last and not (a.stop and os.path.exists(a.stop)):
            say("? %d" % tx)
            db.execute("begin immediate")
            for row in range(tx % 3 + 1):
                db.execute("insert into t(tx, row, v) values(?, ?, ?)", (tx, row, content(tx, row)))
            db.execute("commit")
            if mode != "wal":
                os.fsync(directory)
            say("%d" % tx)
            tx += 1
            time.sleep(a.pause)
        db.close()
    except (sqlite3.Error, OSError, RuntimeError) as e:
        say("! %s: %s" % (type(e).__name__, e))
        sys.exit("loader: %s" % e)


def verify(a):
    begun = acked = 0
    try:
        with open(a.log) as f:
            for line in f:
                if line.startswith("? "):
                    begun = max(begun, int(line[2:]))
                elif line[0].isdigit():
                    acked = max(acked, int(line))
    except FileNotFoundError:
        pass
    if not os.path.exists(a.db) and acked == 0:
        print("no database yet, and nothing acknowledged")
        return
    db = sqlite3.connect(a.db, timeout=120)
    said = [r[0] for r in db.execute("pragma integrity_check")]
    if said != ["ok"]:
        sys.exit("integrity_check: %s" % "; ".join(said[:5]))
    if not db.execute("select 1 from sqlite_master where name = 't'").fetchone():
        if acked:
            sys.exit("the table is gone, but %d transactions were acknowledged" % acked)
        return
    rows = {}
    for tx, row, v in db.execute("select tx, row, v from t"):
        if v != content(tx, row):
            sys.exit("transaction %d row %d has other content" % (tx, row))
        rows.setdefault(tx, []).append(row)
    db.close()
    top = max(rows, default=0)
    for tx in range(1, top + 1):
        if sorted(rows.get(tx, [])) != list(range(tx % 3 + 1)):
            sys.exit("transaction %d is not whole: rows %s" % (tx, rows.get(tx)))
    if top < acked:
        sys.exit("transactions up to %d were acknowledged, only %d are there" % (acked, top))
    if top > begun:
        sys.exit("transaction %d is there, but none after %d was begun" % (top, begun))
    print("transactions 1..%d, acknowledged up to %d" % (top, acked))


p = argparse.ArgumentParser()
p.add_argument("db")
p.add_argument("log")
p.add_argument("--mode", default="wal")
p.add_argument("--count", type=int, default=0)
p.add_argument("--stop")
p.add_argument("--pause", type=float, default=0)  # between transactions, so that a long run needs no large volume
p.add_argument("--verify", action="store_true")
args = p.parse_args()
verify(args) if args.verify else load(args)
