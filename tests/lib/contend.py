#!/usr/bin/env python3
"""Several processes on one embedded database, and what must be true of it while they run and afterwards.

  contend.py --list              kinds
  contend.py KIND DIR            makes a database in DIR, runs the processes, checks; exit 0 when all is right

sqlite-MODE, sqlite-MODE-unmapped: three writers, each with transactions of two accounts of one file and one of an attached file, a
reader that must see every sum whole (in WAL mode, where readers do not wait, while it runs), mmap_size 64 MiB or 0; then
VACUUM into other page sizes, incremental vacuum, integrity_check.  sqlite-exclusive: locking_mode=exclusive keeps others
out, and lets them in when its owner is killed.  lmdb, lmdb-map: two writers and two readers.
"""
import os
import random
import signal
import sqlite3
import sys

import lmdb

ACCOUNTS, MONEY, STEPS, WRITERS = 40, 1000, 20, 3
MODES = ["delete", "truncate", "persist", "wal"]


def need(true, what):
    if not true:
        sys.stderr.write("%s\n" % (what,))
        os._exit(1)


def children(*jobs):
    """Runs each in a process; fails when one fails."""
    pids = []
    for job in jobs:
        pid = os.fork()
        if pid == 0:
            job()
            os._exit(0)
        pids.append(pid)
    return pids


def join(pids):
    for p in pids:
        status = os.waitpid(p, 0)[1]
        need(status == 0, "a process ended with status %d" % status)


def sqlite_open(d, mode, mapped):
    db = sqlite3.connect(os.path.join(d, "a.db"), isolation_level=None, timeout=120)
    db.execute("attach ? as b", (os.path.join(d, "b.db"),))
    for s in "main", "b":
        need(db.execute("pragma %s.journal_mode=%s" % (s, mode)).fetchone()[0] == mode, "no journal mode " + mode)
        got = db.execute("pragma %s.mmap_size=%d" % (s, mapped)).fetchone()
        need(not mapped or got[0] == mapped, "mmap_size is %s" % (got,))
        db.execute("pragma %s.cache_size=20" % s)
    return db


def sum_of(db, name):
    return db.execute("select sum(money) from %s.account" % name).fetchone()[0]


def sqlite_writer(d, mode, mapped, me):
    db = sqlite_open(d, mode, mapped)
    rng = random.Random(me)
    for i in range(STEPS):
        db.execute("begin immediate")
        x, y, z = rng.sample(range(ACCOUNTS), 3)
        amount = rng.randint(1, 50)
        for table, who, much in ("main", x, -2 * amount), ("main", y, amount), ("b", z, amount):
            db.execute("update %s.account set money = money + ?, note = ? where id = ?" % table,
                       (much, rng.randbytes(rng.randint(0, 3000)), who))
        db.execute("insert into main.log values(?, ?)", (me, i))
        db.execute("rollback" if i % 10 == 9 else "commit")
    db.close()


def sqlite_reader(d, mode, mapped, stop):
    db = sqlite_open(d, mode, mapped)
    seen = 0
    while not os.path.exists(stop):
        db.execute("begin")
        a, b = sum_of(db, "main"), sum_of(db, "b")
        n = db.execute("select count(*) from main.log").fetchone()[0]
        db.execute("commit")
        # Two files in WAL mode are two snapshots; with a rollback journal both are locked by then, and the sum is whole.
        need(mode == "wal" or a + b == 2 * ACCOUNTS * MONEY, "%d + %d is not the sum" % (a, b))
        need(n >= seen, "%d entries after %d" % (n, seen))
        seen = n


def sqlite_case(d, mode, mapped):
    stop = os.path.join(d, "stop")
    db = sqlite_open(d, mode, mapped)
    for s in "main", "b":
        db.execute("create table %s.account(id integer primary key, money integer, note blob)" % s)
        db.executemany("insert into %s.account values(?, ?, x'')" % s, [(i, MONEY) for i in range(ACCOUNTS)])
    db.execute("create table main.log(who integer, n integer, primary key(who, n))")
    db.close()
    reader = children(lambda: sqlite_reader(d, mode, mapped, stop))
    join(children(*[lambda me=me: sqlite_writer(d, mode, mapped, me) for me in range(WRITERS)]))
    open(stop, "w").close()
    join(reader)
    db = sqlite_open(d, mode, mapped)
    need(sum_of(db, "main") + sum_of(db, "b") == 2 * ACCOUNTS * MONEY, "money is lost")
    need(db.execute("select count(*) from main.log").fetchone()[0] == WRITERS * STEPS * 9 // 10, "commits are lost")
    for s in "main", "b":
        need([r[0] for r in db.execute("pragma %s.integrity_check" % s)] == ["ok"], "integrity_check of " + s)
    # Sizes that change under a mapping: shrinking, other pages, page by page.
    before = list(db.execute("select * from main.account order by id"))
    db.execute("create table main.fill as select randomblob(3000) x from main.log, (select 1 union select 2)")
    db.execute("drop table main.fill")
    if mode == "wal":
        db.execute("pragma main.journal_mode=delete")
    size = os.path.getsize(os.path.join(d, "a.db"))
    db.execute("pragma main.page_size=8192")
    db.execute("pragma main.auto_vacuum=incremental")
    db.execute("vacuum")
    db.execute("create table main.fill as select randomblob(3000) x from main.log")
    db.execute("delete from main.fill where rowid > 10")
    list(db.execute("pragma main.incremental_vacuum(20)"))
    need(db.execute("pragma main.page_size").fetchone()[0] == 8192, "the page size did not change")
    need(os.path.getsize(os.path.join(d, "a.db")) < size, "VACUUM gave nothing back")
    need(before == list(db.execute("select * from main.account order by id")), "VACUUM changed rows")
    need(db.execute("pragma main.integrity_check").fetchone()[0] == "ok", "integrity_check after VACUUM")
    db.close()


def sqlite_exclusive(d):
    """Locks keep the other out until the owner is killed; its uncommitted work is rolled back by who comes next."""
    path = os.path.join(d, "a.db")
    for mode in "delete", "wal":
        r, w = os.pipe()
        db = sqlite3.connect(path, isolation_level=None, timeout=0)
        db.execute("create table if not exists t(x)")
        db.execute("insert into t values('" + mode + "')")
        db.close()

        def owner():
            o = sqlite3.connect(path, isolation_level=None)
            o.execute("pragma locking_mode=exclusive")
            o.execute("pragma journal_mode=" + mode)
            o.execute("pragma cache_size=5")
            o.execute("begin immediate")
            o.execute("insert into t select randomblob(2000) from (with recursive n(i) as "
                      "(select 1 union all select i + 1 from n where i < 200) select i from n)")
            os.write(w, b".")
            signal.pause()

        pid, = children(owner)
        need(os.read(r, 1) == b".", "the owner ended")
        db = sqlite3.connect(path, isolation_level=None, timeout=0)
        try:
            db.execute("insert into t values(1)")
            need(False, "a second writer got in, mode " + mode)
        except sqlite3.OperationalError as e:
            need("locked" in str(e), e)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        need([r[0] for r in db.execute("select x from t")][-1] == mode, "what was not committed is there")
        db.execute("delete from t")
        need(db.execute("pragma integrity_check").fetchone()[0] == "ok", "integrity_check")
        db.close()


def lmdb_case(d, writemap):
    path = os.path.join(d, "data")

    def env():
        return lmdb.open(path, map_size=16 << 20, writemap=writemap, max_readers=16)

    with env() as e, e.begin(write=True) as t:
        for i in range(ACCOUNTS):
            t.put(b"%04d" % i, b"%d" % MONEY)

    def writer(me):
        rng = random.Random(me)
        with env() as e:
            for i in range(STEPS * 5):
                with e.begin(write=True) as t:
                    x, y = rng.sample(range(ACCOUNTS), 2)
                    for k, much in (x, -7), (y, 7):
                        t.put(b"%04d" % k, b"%d" % (int(t.get(b"%04d" % k)) + much))
                    t.put(b"w%d.%d" % (me, i), rng.randbytes(rng.randint(0, 9000)))
                    if i > 10:
                        t.delete(b"w%d.%d" % (me, i - 10))

    def reader(me):
        with env() as e:
            for _ in range(200):
                with e.begin() as t:
                    total = sum(int(v) for k, v in t.cursor() if not k.startswith(b"w"))
                need(total == ACCOUNTS * MONEY, "a reader saw %d" % total)

    join(children(*[lambda me=me: writer(me) for me in range(2)], *[lambda me=me: reader(me) for me in range(2)]))
    with env() as e:
        with e.begin() as t:
            kept = [k for k, _ in t.cursor() if k.startswith(b"w")]
        need(len(kept) == 20 + 2, "kept %d: %s" % (len(kept), kept[:3]))
        os.mkdir(path + ".copy")
        e.copy(path + ".copy", compact=True)
    with lmdb.open(path + ".copy", map_size=16 << 20) as e, e.begin() as t:
        need(sum(int(v) for k, v in t.cursor() if not k.startswith(b"w")) == ACCOUNTS * MONEY, "the copy is different")


kinds = {"sqlite-" + m: lambda d, m=m: sqlite_case(d, m, 64 << 20) for m in MODES}
kinds["sqlite-delete-unmapped"] = lambda d: sqlite_case(d, "delete", 0)
kinds["sqlite-wal-unmapped"] = lambda d: sqlite_case(d, "wal", 0)
kinds["sqlite-exclusive"] = sqlite_exclusive
kinds["lmdb"] = lambda d: lmdb_case(d, False)
kinds["lmdb-map"] = lambda d: lmdb_case(d, True)
if sys.argv[1] == "--list":
    print("\n".join(kinds))
else:
    kind, where = sys.argv[1:3]
    made = os.path.join(where, kind)
    os.mkdir(made)
    kinds[kind](made)
