#!/usr/bin/env python3
"""Chains of transactions over many databases: after a crash what is there is a prefix of each chain.

  chains.py run DIR LOGS --stop FILE    every chain in a process of its own, below DIR, until FILE exists or it fails
  chains.py check DIR LOGS              DIR, after a crash, against the logs
  chains.py floors LOGS                 for each chain: the last that must be there, the last that was begun

A chain is one process that carries out transactions 1, 2, 3, ..., each in the next of its databases in turn.  Four chains
have a SQLite database of every journal mode (delete, truncate, persist, wal), and between them every mode with every level
of synchronous (off, normal, full, extra), half of them with mmap_size.  The fifth has pairs of SQLite databases that are
changed by one transaction (ATTACH), LMDB with and without a writable map, a file that is appended to, and
files that are made under another name and renamed.

The volume promises that a crash leaves a prefix of what was accepted, at least up to the last barrier that returned.
So of each chain exactly 1..k must be there, over all its databases together, with k not above the last one begun and not
below what a returned barrier covered, whoever asked for it:
  full  the transaction ends with a barrier                     (all from the first on are there: k >= n)
  prev  its last barrier comes before the step that commits it  (k >= n - 1)
  none  it has no barrier                                       (nothing, but what others of the chain give)
With synchronous=off nothing may be corrupt: only the tail may be missing, and only behind the last barrier.

Transaction n adds row n, changes a column of all rows, and removes all but the last 20 rows of that database: the cache of
eight pages is too small, so pages go out in the midst of a transaction.  Log lines (outside the volume): "? n" begun, "+ n"
acknowledged, "! text" failed, "= k" where the check found the chain: the next life goes on there.
"""
import argparse
import hashlib
import os
import signal
import sqlite3
import sys

import lmdb

MODES = ["delete", "truncate", "persist", "wal"]
LEVELS = ["off", "normal", "full", "extra"]
KEEP = 20  # rows that a database keeps


class Wrong(Exception):
    pass


def text_of(n):
    seed = hashlib.sha256(b"%d" % n).digest()
    return (seed * 200)[: 30 + n * 1237 % 6000]


# ---- what a chain is made of: name, rule, do(n, drop), rows() -> {number: content} and checks its own form ----
class Sqlite:
    def __init__(self, d, mode, level, mapped):
        self.name = "%s-%s" % (mode, level)
        self.path = os.path.join(d, self.name + ".db")
        self.mode, self.level, self.mapped, self.db = mode, level, mapped, None
        if level == "off" or (mode == "wal" and level == "normal"):
            self.rule = "none"
        elif level == "extra" or mode == "persist" or (level == "full" and mode != "delete"):
            self.rule = "full"
        else:
            self.rule = "prev"  # the journal is removed or cut behind the last barrier

    def open(self):
        self.db = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        got = self.db.execute("pragma journal_mode=" + self.mode).fetchone()[0]
        if got != self.mode:
            raise Wrong("%s: journal mode is %s" % (self.name, got))
        self.db.execute("pragma synchronous=" + self.level)
        self.db.execute("pragma cache_size=8")
        self.db.execute("pragma wal_autocheckpoint=30")
        self.db.execute("pragma mmap_size=%d" % (1 << 20 if self.mapped else 0))

    def do(self, n, drop):
        if not self.db:
            self.open()
        self.db.execute("begin immediate")
        self.db.execute("create table if not exists t(n integer primary key, last integer, v blob)")
        self.db.execute("insert into t values(?, 0, ?)", (n, text_of(n)))
        self.db.execute("update t set last = ?", (n,))
        self.db.execute("delete from t where n <= ?", (drop,))
        self.db.execute("commit")

    def rows(self):
        if not os.path.exists(self.path):
            return {}
        return rows_of(self.name, self.path)


def rows_of(name, path):
    db = sqlite3.connect(path, timeout=60)
    try:
        said = [r[0] for r in db.execute("pragma integrity_check")]
        if said != ["ok"]:
            raise Wrong("%s: integrity_check: %s" % (name, "; ".join(said[:5])))
        if not db.execute("select 1 from sqlite_master where name = 't'").fetchone():
            return {}
        found = list(db.execute("select n, last, v from t order by n"))
    except sqlite3.DatabaseError as e:
        raise Wrong("%s: %s" % (name, e))
    finally:
        db.close()
    if found and any(last != found[-1][0] for _, last, _ in found):
        raise Wrong("%s: a transaction is there by half" % name)
    return {n: v for n, _, v in found}


class Pair:
    """One transaction over two files: the super-journal decides, whose removal is made durable at every level but off."""

    rule = "full"

    def __init__(self, d, mode):
        self.name, self.mode, self.db = "pair-" + mode, mode, None
        self.paths = [os.path.join(d, "pair-%s-%s.db" % (mode, x)) for x in "ab"]

    def do(self, n, drop):
        if not self.db:
            self.db = sqlite3.connect(self.paths[0], isolation_level=None, timeout=60)
            self.db.execute("attach ? as other", (self.paths[1],))
            for s in "main", "other":
                self.db.execute("pragma %s.journal_mode=%s" % (s, self.mode))
                self.db.execute("pragma %s.synchronous=full" % s)
        self.db.execute("begin immediate")
        for s in "main", "other":
            self.db.execute("create table if not exists %s.t(n integer primary key, last integer, v blob)" % s)
            self.db.execute("insert into %s.t values(?, 0, ?)" % s, (n, text_of(n)))
            self.db.execute("update %s.t set last = ?" % s, (n,))
            self.db.execute("delete from %s.t where n <= ?" % s, (drop,))
        self.db.execute("commit")

    def rows(self):
        a, b = [rows_of(self.name, p) if os.path.exists(p) else {} for p in self.paths]
        if a != b:
            raise Wrong("%s: one file has %s, the other %s" % (self.name, sorted(a), sorted(b)))
        return a


class Lmdb:
    rule = "full"

    def __init__(self, d, writemap):
        self.name = "lmdb-map" if writemap else "lmdb"
        self.path, self.writemap, self.env = os.path.join(d, self.name), writemap, None

    def open(self):
        return lmdb.open(self.path, map_size=1 << 21, subdir=False, writemap=self.writemap)

    def do(self, n, drop):
        self.env = self.env or self.open()
        with self.env.begin(write=True) as t:
            t.put(b"%012d" % n, text_of(n))
            t.delete(b"%012d" % drop)

    def rows(self):
        if not os.path.exists(self.path):
            return {}
        try:
            env = self.open()
            with env.begin() as t:
                found = {int(k): bytes(v) for k, v in t.cursor()}
            env.close()
        except lmdb.Error as e:
            raise Wrong("%s: %s" % (self.name, e))
        return found


class Append:
    """Records of one line; a long file is replaced by one that has its last lines.  No barrier at all."""

    rule, name = "none", "append"

    def __init__(self, d):
        self.path, self.f = os.path.join(d, self.name), None

    def do(self, n, drop):
        if self.f is None:
            self.f = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if os.fstat(self.f).st_size > 1 << 20:
            self.renew()
        line = b"%d %s\n" % (n, text_of(n).hex().encode())
        if os.write(self.f, line) != len(line):
            raise Wrong("short write")

    def renew(self):
        with open(self.path, "rb") as f:
            last = f.read().splitlines(True)[-KEEP:]
        os.close(self.f)
        self.f = os.open(self.path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        os.write(self.f, b"".join(last))
        os.rename(self.path + ".new", self.path)

    def rows(self):
        if not os.path.exists(self.path):
            return {}
        with open(self.path, "rb") as f:
            text = f.read()
        # A line may be cut: the kernel sends the rest of a page and what follows as two writes.
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            os.truncate(self.path, len(whole))
        found = {}
        for line in whole.splitlines():
            n, v = line.split(b" ")
            found[int(n)] = bytes.fromhex(v.decode())
        return {n: found[n] for n in sorted(found)[-KEEP:]}


class Replace:
    """A file of its own for each number, written under another name, fsynced, renamed: the rename is the commit."""

    rule, name = "prev", "replace"

    def __init__(self, d):
        self.dir = os.path.join(d, self.name)

    def do(self, n, drop):
        os.makedirs(self.dir, exist_ok=True)
        temp = os.path.join(self.dir, "temp")
        f = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(f, text_of(n))
            os.fsync(f)
        finally:
            os.close(f)
        old = os.path.join(self.dir, str(drop))
        if os.path.exists(old):  # the oldest becomes the newest: one step for both
            os.rename(temp, old)
            os.rename(old, os.path.join(self.dir, str(n)))
        else:
            os.rename(temp, os.path.join(self.dir, str(n)))

    def rows(self):
        found = {}
        for name in os.listdir(self.dir) if os.path.isdir(self.dir) else []:
            if name != "temp":
                with open(os.path.join(self.dir, name), "rb") as f:
                    found[int(name)] = f.read()
        # The step between the two renames: the oldest has the content of one that is not there yet.
        low = min(found, default=0)
        if len(found) == KEEP and found[low] != text_of(low):
            after = max(found) + low_step(found)
            if found[low] != text_of(after):
                raise Wrong("replace: %d has the content of no other" % low)
            found[low] = text_of(low)
        return found


def low_step(found):
    n = sorted(found)
    return n[1] - n[0]


def links(d, chain):
    """The databases of a chain, in their order."""
    d = os.path.join(d, "chain%d" % chain)
    if chain < 4:
        return [Sqlite(d, m, LEVELS[(i + chain) % 4], (i + chain // 2) % 2 == 0) for i, m in enumerate(MODES)]
    return [Pair(d, m) for m in MODES[:3]] + [Append(d), Replace(d)] + [Lmdb(d, False), Lmdb(d, True)]


CHAINS = 5


# ---- logs ----
def read_log(path, rules):
    """(begun, floor, acknowledged of this life)"""
    begun = floor = acked = 0
    if os.path.exists(path):
        for line in open(path):
            what, rest = line[0], line[2:]
            if what == "?":
                begun = int(rest)
            elif what == "+":
                n, acked = int(rest), acked + 1
                rule = rules[n % len(rules)]
                floor = max(floor, n if rule == "full" else n - 1 if rule == "prev" else 0)
            elif what == "=":
                begun = floor = int(rest)
                acked = 0
    return begun, floor, acked


def run_chain(a, chain):
    made = links(a.dir, chain)
    os.makedirs(os.path.join(a.dir, "chain%d" % chain), exist_ok=True)
    path = os.path.join(a.logs, "chain%d" % chain)
    n = read_log(path, [l.rule for l in made])[0]
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        while not os.path.exists(a.stop):
            n += 1
            os.write(log, b"? %d\n" % n)
            made[n % len(made)].do(n, n - KEEP * len(made))
            # SQLite takes no notice when it cannot open the directory that it is to sync, as on a mount that was
            # just killed: what is acknowledged was acknowledged by a mount that is alive.
            os.statvfs(a.dir)
            os.write(log, b"+ %d\n" % n)
    except (sqlite3.Error, lmdb.Error, OSError, Wrong) as e:
        os.write(log, ("! %s: %s\n" % (type(e).__name__, e)).encode())
        os._exit(1)
    os._exit(0)


def run(a):
    os.makedirs(a.logs, exist_ok=True)
    children = []
    for chain in range(CHAINS):
        pid = os.fork()
        if pid == 0:
            run_chain(a, chain)
        children.append(pid)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(p, signal.SIGKILL) for p in children])
    bad = 0
    for pid in children:
        bad += os.waitpid(pid, 0)[1] != 0
    sys.exit(bad > 0)


def check_chain(a, chain):
    made = links(a.dir, chain)
    path = os.path.join(a.logs, "chain%d" % chain)
    begun, floor, _ = read_log(path, [l.rule for l in made])
    found = [l.rows() for l in made]
    k = max((max(r, default=0) for r in found), default=0)
    for i, (link, rows) in enumerate(zip(made, found)):
        wanted = [n for n in range(1, k + 1) if n % len(made) == i][-KEEP:]
        if sorted(rows) != wanted:
            raise Wrong("%s: has %s; of %d operations it must have %s" % (link.name, sorted(rows)[-3:], k, wanted[-3:]))
        for n in rows:
            if rows[n] != text_of(n):
                raise Wrong("%s: number %d has other content" % (link.name, n))
    if not floor <= k <= begun:
        raise Wrong("%d operations are there; durable %d, begun %d" % (k, floor, begun))
    with open(path, "a") as f:
        f.write("= %d\n" % k)
    return "%d (durable %d, begun %d)" % (k, floor, begun)


def check(a):
    wrong = []
    for chain in range(CHAINS):
        try:
            print("chain %d: %s" % (chain, check_chain(a, chain)))
        except Wrong as e:
            wrong.append("chain %d: %s" % (chain, e))
    if wrong:
        sys.exit("\n".join(wrong))


def floors(a):
    for chain in range(CHAINS):
        rules = [l.rule for l in links("", chain)]
        print("%d %d %d" % ((chain,) + read_log(os.path.join(a.logs, "chain%d" % chain), rules)[:2]))


p = argparse.ArgumentParser()
s = p.add_subparsers(dest="what", required=True)
for verb in "run", "check", "floors":
    q = s.add_parser(verb)
    if verb != "floors":
        q.add_argument("dir")
    q.add_argument("logs")
    if verb == "run":
        q.add_argument("--stop", required=True)
args = p.parse_args()
globals()[args.what](args)
