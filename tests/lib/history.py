#!/usr/bin/env python3
"""Workloads that leave a history outside the volume, and checkers that compare a volume with it in linear time.

  history.py run DIR LOGS --stop FILE [--seed N]   all workers below DIR, until FILE exists or each has failed
  history.py bulk DIR LOGS COUNT                   COUNT more files of 300,000 incompressible bytes, each fsynced
  history.py check DIR LOGS                        DIR, usually in a new mount after a crash, against the histories
  history.py stall LOGS FROM TO                    longest step of a worker (ms) that was under way between two moments; not of
                                                   banks, whose workers wait for each other
  history.py now                                   the clock of the histories, in ms

Kinds (a worker is KIND.NUMBER and has a log of its own, LOGS/KIND.NUMBER):
  bankw, bankd   SQLite in WAL and in DELETE mode; several processes transfer money between 16 accounts.  Checked:
                 integrity_check; the sum; every acknowledged transfer is there, none that nobody began; the balances are
                 those which the transfers give.
  set            several processes append unique 64-byte records to one file (O_APPEND), fdatasync each.  Checked: each
                 acknowledged one is there once, none is there twice, damaged or invented.
  pages          records of a page in a ring of 256, numbered, checksummed, fsync after some.  Checked: the ring is exactly
                 what the first k writes leave, acknowledged <= k <= begun.
  names          files made, fsynced, renamed over others, removed; fsync of the directory.  Checked: the directory
                 is exactly what the first k operations leave, with their contents.
  bulk           files that make the volume grow.  Checked: each acknowledged one has its content.

Log lines: "? ID MS" before an operation, "+ ID MS" when it was acknowledged, "! ID TEXT" when it failed (the worker ends),
"= K" where the checker found the volume, for kinds whose state is that of a prefix of K operations: from then on K counts
as acknowledged, and the worker goes on there.  Other kinds never use an ID again, so a value is
unique; an operation without an answer may have happened or not.  The logs need no
flush: the machine itself never dies.  A transaction that could not begin (locked) is tried again under its ID.
"""
import argparse
import hashlib
import os
import random
import signal
import sqlite3
import sys
import time

ACCOUNTS, MONEY, RING, PAGE, SLOTS, BULK = 16, 100, 256, 4096, 24, 300000
WORKERS = ["bankw.0", "bankw.1", "bankd.0", "bankd.1", "set.0", "set.1", "pages.0", "names.0"]
PACE = 0.004  # seconds between operations: the workers share two cores with six servers


class Wrong(Exception):
    pass


def now():
    return time.monotonic_ns() // 1000000


class Log:
    """A worker's history.  begun, acked: the last IDs; acks: all; open: those without an answer."""

    def __init__(self, logs, name):
        self.name, self.path = name, os.path.join(logs, name)
        self.begun = self.acked = 0
        self.acks, self.open = set(), set()
        if os.path.exists(self.path):
            for line in open(self.path):
                what, i = line[0], line.split()[1]
                if what == "?":
                    self.begun = int(i)
                    self.open.add(self.begun)
                elif what == "+":
                    self.acked = int(i)
                    self.acks.add(self.acked)
                    self.open.discard(self.acked)
                elif what == "=":
                    self.begun = self.acked = int(i)
        self.out = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def begin(self, i):
        os.write(self.out, b"? %d %d\n" % (i, now()))

    def ack(self, i):
        os.write(self.out, b"+ %d %d\n" % (i, now()))

    def error(self, i, text):
        os.write(self.out, ("! %d %s\n" % (i, text)).encode())

    def found(self, k):
        os.write(self.out, b"= %d\n" % k)

    def prefix(self, k, what):
        """K is a state that this history allows: not before what was acknowledged, not after what was begun."""
        if not self.acked <= k <= self.begun:
            raise Wrong("%s of %d operations; acknowledged %d, begun %d" % (what, k, self.acked, self.begun))


def fsync_path(path):
    f = os.open(path, os.O_RDONLY)
    try:
        os.fsync(f)
    finally:
        os.close(f)


# ---- bank ----
def bank_open(d, mode):
    db = sqlite3.connect(os.path.join(d, "bank-%s.db" % mode), isolation_level=None, timeout=5)
    return db


def locked(e):
    return "locked" in str(e) or "busy" in str(e)


def bank_prepare(db, mode, stopped):
    """Accounts, made once, in one transaction; by whoever comes first."""
    while not stopped():
        try:
            if db.execute("pragma journal_mode=" + mode).fetchone()[0] != mode:
                raise Wrong("no journal mode " + mode)
            db.execute("pragma synchronous=full")
            db.execute("begin immediate")
            if not db.execute("select 1 from sqlite_master where name = 'account'").fetchone():
                db.execute("create table account(id integer primary key, balance integer not null)")
                db.execute("create table transfer(worker text, id integer, src, dst, amount, primary key(worker, id))")
                db.executemany("insert into account values(?, ?)", [(i, MONEY) for i in range(ACCOUNTS)])
            db.execute("commit")
            return
        except sqlite3.OperationalError as e:
            if not locked(e):
                raise
            if db.in_transaction:
                db.execute("rollback")


def bank_transfer(db, name, i, rng):
    """False: it could not even begin."""
    try:
        db.execute("begin immediate")
    except sqlite3.OperationalError as e:
        if locked(e):
            return False
        raise
    src, dst = rng.sample(range(ACCOUNTS), 2)
    have = db.execute("select balance from account where id = ?", (src,)).fetchone()[0]
    amount = rng.randint(0, max(have, 0))
    db.execute("update account set balance = balance - ? where id = ?", (amount, src))
    db.execute("update account set balance = balance + ? where id = ?", (amount, dst))
    db.execute("insert into transfer values(?, ?, ?, ?, ?)", (name, i, src, dst, amount))
    while True:
        try:
            db.execute("commit")
            return True
        except sqlite3.OperationalError as e:
            if not locked(e):  # a reader in DELETE mode: the transaction stands and may be committed again
                raise


def bank(d, log, seed, stopped, mode):
    db = bank_open(d, mode)
    bank_prepare(db, mode, stopped)
    directory = os.open(d, os.O_RDONLY)
    i = log.begun
    while not stopped():
        i += 1
        rng = random.Random("%s/%s/%d" % (seed, log.name, i))
        log.begin(i)
        while not bank_transfer(db, log.name, i, rng):
            if stopped():
                return
        if mode != "wal":
            os.fsync(directory)  # in DELETE mode the removal of the journal is the commit; FULL does not sync that
        log.ack(i)
        time.sleep(PACE)
    db.close()


def bank_check(d, logs, mode):
    acks = sum(len(l.acks) for l in logs)
    path = os.path.join(d, "bank-%s.db" % mode)
    if not os.path.exists(path) and acks == 0:
        return "nothing yet"
    db = sqlite3.connect(path, timeout=60)
    said = [r[0] for r in db.execute("pragma integrity_check")]
    if said != ["ok"]:
        raise Wrong("integrity_check: %s" % "; ".join(said[:5]))
    if not db.execute("select 1 from sqlite_master where name = 'account'").fetchone():
        if acks:
            raise Wrong("no accounts, but %d transfers were acknowledged" % acks)
        return "no accounts yet"
    balances = dict(db.execute("select id, balance from account"))
    if sum(balances.values()) != ACCOUNTS * MONEY:
        raise Wrong("the sum is %d, not %d" % (sum(balances.values()), ACCOUNTS * MONEY))
    expected = dict.fromkeys(range(ACCOUNTS), MONEY)
    present = {}
    for worker, i, src, dst, amount in db.execute("select * from transfer"):
        present.setdefault(worker, set()).add(i)
        expected[src] -= amount
        expected[dst] += amount
    db.close()
    if balances != expected:
        raise Wrong("the balances are not those that the transfers give")
    for l in logs:
        members(present.pop(l.name, set()), l, "transfers")
    if present:
        raise Wrong("transfers of unknown workers: %s" % sorted(present))
    return "%d transfers" % acks


def members(there, log, what):
    lost = log.acks - there
    if lost:
        raise Wrong("%s: %d acknowledged %s are lost: %s" % (log.name, len(lost), what, sorted(lost)[:8]))
    invented = there - log.acks - log.open
    if invented:
        raise Wrong("%s: %s that nobody began: %s" % (log.name, what, sorted(invented)[:8]))


# ---- set ----
def set_record(name, i):
    text = b"%s %d " % (name.encode(), i)
    return text + hashlib.sha256(text).hexdigest().encode()[: 63 - len(text)] + b"\n"


def set_run(d, log, seed, stopped):
    f = os.open(os.path.join(d, "set"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    if log.acked == 0:
        os.fsync(f)
        fsync_path(d)
    i = log.begun
    while not stopped():
        i += 1
        log.begin(i)
        if os.write(f, set_record(log.name, i)) != 64:
            raise Wrong("a short write")
        os.fdatasync(f)
        log.ack(i)
        time.sleep(PACE)


def set_check(d, logs):
    path = os.path.join(d, "set")
    data = open(path, "rb").read() if os.path.exists(path) else b""
    if len(data) % 64:
        raise Wrong("the set has %d bytes, not a multiple of 64" % len(data))
    there = {l.name: set() for l in logs}
    for at in range(0, len(data), 64):
        words = data[at : at + 64].split()
        name, i = (words[0].decode(), int(words[1])) if len(words) == 3 and words[1].isdigit() else ("", 0)
        if name not in there or data[at : at + 64] != set_record(name, i):
            raise Wrong("the record at byte %d is damaged: %r" % (at, data[at : at + 64]))
        if i in there[name]:
            raise Wrong("%s added %d once, it is there twice" % (name, i))
        there[name].add(i)
    for l in logs:
        members(there[l.name], l, "values")
    return "%d values" % sum(len(l.acks) for l in logs)


# ---- pages ----
def page_record(seed, i):
    body = random.Random("%s/page/%d" % (seed, i)).randbytes(PAGE - 48)
    head = i.to_bytes(16, "little")
    return head + hashlib.sha256(head + body).digest() + body


def pages_run(d, log, seed, stopped):
    f = os.open(os.path.join(d, "pages"), os.O_WRONLY | os.O_CREAT, 0o644)
    if log.acked == 0:
        fsync_path(d)
    i = log.acked
    while not stopped():
        n = random.Random("%s/batch/%d" % (seed, i)).randint(1, 4)
        for i in range(i + 1, i + n + 1):
            log.begin(i)
            if os.pwrite(f, page_record(seed, i), i % RING * PAGE) != PAGE:
                raise Wrong("a short write")
        os.fsync(f)
        log.ack(i)
        time.sleep(PACE)


def pages_check(d, logs):
    log, path = logs[0], os.path.join(d, "pages")
    data = open(path, "rb").read() if os.path.exists(path) else b""
    found = {}
    for slot in range(0, len(data) // PAGE):
        page = data[slot * PAGE : slot * PAGE + PAGE]
        if page == bytes(PAGE):
            continue  # the hole that record 0 would fill, or the ring's first round
        i = int.from_bytes(page[:16], "little")
        if page[16:48] != hashlib.sha256(page[:16] + page[48:]).digest() or i % RING != slot:
            raise Wrong("the record in slot %d is damaged (number %d)" % (slot, i))
        found[slot] = i
    k = max(found.values(), default=0)
    log.prefix(k, "pages")
    for i in range(max(1, k - RING + 1), k + 1):
        if found.get(i % RING) != i:
            raise Wrong("record %d is there, but slot %d holds %s instead of %d" % (k, i % RING, found.get(i % RING), i))
    log.found(k)
    return "%d pages" % k


# ---- names ----
def name_content(i):
    return b"%d\n" % i * (1 + i % 700)


def names_step(model, i):
    """Operation i on MODEL (name -> number); returns ("rename", to) or ("unlink", name)."""
    old = "f%d" % (i * 7 % SLOTS)
    if i % 3 == 0 and old in model:
        del model[old]
        return "unlink", old
    to = "f%d" % (i * 5 % SLOTS)
    model[to] = i
    return "rename", to


def names_run(d, log, seed, stopped):
    d = os.path.join(d, "names")
    os.makedirs(d, exist_ok=True)
    fsync_path(os.path.dirname(d))
    model, i = {}, log.acked
    for j in range(1, i + 1):
        names_step(model, j)
    directory = os.open(d, os.O_RDONLY)
    temp = os.path.join(d, "temp")
    while not stopped():
        i += 1
        what, name = names_step(model, i)
        log.begin(i)
        if what == "unlink":
            os.unlink(os.path.join(d, name))
        else:
            f = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.write(f, name_content(i))
            os.fsync(f)
            os.close(f)
            os.rename(temp, os.path.join(d, name))
        os.fsync(directory)
        log.ack(i)
        time.sleep(PACE)


def names_check(d, logs):
    log, d = logs[0], os.path.join(d, "names")
    there = {n: open(os.path.join(d, n), "rb").read() for n in os.listdir(d)} if os.path.isdir(d) else {}
    there.pop("temp", None)  # of the operation that was under way
    numbers = {}
    for n, data in there.items():
        i = int(data.split(b"\n")[0] or 0)
        if i == 0 or data != name_content(i):
            raise Wrong("the content of %s is no operation's (%d bytes)" % (n, len(data)))
        numbers[n] = i
    low = log.acked
    model = {}
    for i in range(1, low + 1):
        names_step(model, i)
    k, top = low, log.begun
    while model != numbers:
        if k >= top:
            wrong = sorted(set(model.items()) ^ set(numbers.items()))[:6]
            raise Wrong("names of no k from %d to %d; beside k = %d: %s" % (low, top, k, wrong))
        k += 1
        names_step(model, k)
    log.found(k)
    return "%d names" % k


# ---- bulk ----
def bulk_content(i):
    return random.Random("bulk/%d" % i).randbytes(BULK)


def bulk(d, logs, count):
    d = os.path.join(d, "bulk")
    os.makedirs(d, exist_ok=True)
    log = Log(logs, "bulk.0")
    for i in range(log.begun + 1, log.begun + 1 + count):
        log.begin(i)
        f = os.open(os.path.join(d, "b%d" % i), os.O_WRONLY | os.O_CREAT, 0o644)
        data = bulk_content(i)
        while data:
            data = data[os.write(f, data) :]
        os.fsync(f)
        os.close(f)
        fsync_path(d)
        log.ack(i)


def bulk_check(d, logs):
    for i in logs[0].acks:
        path = os.path.join(d, "bulk", "b%d" % i)
        if not os.path.exists(path) or open(path, "rb").read() != bulk_content(i):
            raise Wrong("file %d is not what was fsynced" % i)
    return "%d files" % len(logs[0].acks)


# ---- all of them ----
RUN = {
    "bankw": lambda *a: bank(*a, "wal"),
    "bankd": lambda *a: bank(*a, "delete"),
    "set": set_run,
    "pages": pages_run,
    "names": names_run,
}
CHECK = {
    "bankw": lambda d, logs: bank_check(d, logs, "wal"),
    "bankd": lambda d, logs: bank_check(d, logs, "delete"),
    "set": set_check,
    "pages": pages_check,
    "names": names_check,
    "bulk": bulk_check,
}


def worker(a, name):
    log = Log(a.logs, name)
    try:
        RUN[name.split(".")[0]](a.dir, log, a.seed, lambda: os.path.exists(a.stop))
    except (sqlite3.Error, OSError, Wrong) as e:
        log.error(Log(a.logs, name).begun, "%s: %s" % (type(e).__name__, e))
        return 1
    return 0


def run(a):
    """Each worker in a process of its own; the exit code says whether one has seen an error."""
    pids = {}
    for name in WORKERS:
        pid = os.fork()
        if pid == 0:
            os._exit(worker(a, name))
        pids[pid] = name
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(p, signal.SIGKILL) for p in pids])
    worst = 0
    while pids:
        pid, status = os.wait()
        name = pids.pop(pid)
        if status:
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                Log(a.logs, name).error(0, signal.Signals(-code).name)
            print("%s: %s" % (name, "%s" % signal.Signals(-code).name if code < 0 else "an error"))
            worst = 1
    return worst


def check(a):
    kinds = {}
    for name in sorted(os.listdir(a.logs)):
        kinds.setdefault(name.split(".")[0], []).append(Log(a.logs, name))
    bad, said = [], []
    for kind, logs in kinds.items():
        try:
            said.append("%s: %s" % (kind, CHECK[kind](a.dir, logs)))
        except (Wrong, sqlite3.Error, OSError, ValueError) as e:
            bad.append("%s: %s: %s" % (kind, type(e).__name__, e))
    print("\n".join(bad) if bad else ", ".join(said))
    return 1 if bad else 0


def times(logs):
    for name in os.listdir(logs):
        began = {}
        for line in open(os.path.join(logs, name)):
            w = line.split()
            if w[0] == "?":
                began[w[1]] = int(w[2])
            elif w[0] == "+":
                yield name, began[w[1]], int(w[2])


def stall(a):
    worst = {}
    for name, began, acked in times(a.logs):
        kind = name.split(".")[0]
        if began <= a.to and acked >= a.since and not kind.startswith("bank"):
            worst[kind] = max(worst.get(kind, 0), acked - began)
    print(" ".join("%s %d ms" % w for w in sorted(worst.items())))


p = argparse.ArgumentParser()
verbs = p.add_subparsers(dest="verb", required=True)
for verb, words in {"run": "dir logs", "bulk": "dir logs count", "check": "dir logs", "stall": "logs since to", "now": ""}.items():
    s = verbs.add_parser(verb)
    for word in words.split():
        s.add_argument(word, type=int if word in ("count", "since", "to") else str)
    if verb == "run":
        s.add_argument("--stop", required=True)
        s.add_argument("--seed", default="1")
args = p.parse_args()
if args.verb == "bulk":
    bulk(args.dir, args.logs, args.count)
elif args.verb == "now":
    print(now())
else:
    sys.exit({"run": run, "check": check, "stall": stall}[args.verb](args))
