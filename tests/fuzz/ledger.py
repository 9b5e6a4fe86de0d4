#!/usr/bin/env python3
"""How often each fuzz target's decoder has run, and on which version of it: tests/fuzz/ledger.

  ledger.py add COUNTS [FINDINGS]   adds a run's counts ("TARGET DECODER EXECUTIONS MILLISECONDS" a line, as driver.c
                                    writes them) and FINDINGS ("TARGET DECODER" a line) to the entries of the present
                                    version
  ledger.py show [GOAL]             a table: executions of the present version, of all versions, findings, last run;
                                    executions per second of a processor, and how many seconds are left to GOAL
  ledger.py left GOAL TARGET ...    "TARGET DECODER EXECUTIONS-LEFT" of each decoder of these targets below GOAL,
                                    those with the fewest left first
  ledger.py check FILE TARGET DECODER
                                    FILE: what -print_coverage=1 printed; names the files that ran and are not in its
                                    version

The version of a decoder is a hash over the code of the files that it is made of: those that its target names
(fuzz_decoder.sources; a directory: all of its *.c and *.h), and codec, crc and types of src/base with their headers.
The table of errors counts for those that translate numbers of errors.  Comments and blanks do not count, nor does the
target itself: what it checks beyond the sanitizers' checks may grow without voiding what ran.
HEXAD_FUZZ_PROGRAMS is the directory of the programs (built for libFuzzer), HEXAD_SOURCE the tree."""
import datetime
import hashlib
import os
import re
import subprocess
import sys

source = os.environ.get("HEXAD_SOURCE", ".")
programs = os.environ.get("HEXAD_FUZZ_PROGRAMS", "build/fuzzing/tests/fuzz")
path = os.path.join(source, "tests/fuzz/ledger")
BASE = [f % name for name in ("codec", "crc", "types") for f in ("src/base/%s.c", "include/hexad/%s.h")]
TOKENS = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\s+""", re.S)
HEADER = """# Executions of each decoder under libFuzzer, with address and undefined sanitizers (make fuzz): target, decoder (-: all
# that the target runs), version of the decoder's code (ledger.py), executions, seconds of a processor, findings, date
# of the last run.
"""


def files_of(names):
    for name in sorted(set(names)):
        full = os.path.join(source, name)
        if os.path.isdir(full):
            yield from (os.path.join(name, f) for f in sorted(os.listdir(full)) if f.endswith((".c", ".h")))
        else:
            yield name


def code(name):
    with open(os.path.join(source, name), encoding="utf-8") as f:
        return TOKENS.sub(lambda m: m[0] if m[0][0] in "\"'" else " ", f.read())


def version(names):
    h = hashlib.sha256()
    for name in files_of(BASE + names):
        h.update((name + "\n" + " ".join(code(name).split()) + "\n").encode())
    return h.hexdigest()[:12]


def decoders():
    """(target, decoder): the files it is made of."""
    found = {}
    for name in sorted(os.listdir(programs)):
        if re.fullmatch("fuzz_[a-z]+", name):
            out = subprocess.run([os.path.join(programs, name)], check=True, stdout=subprocess.PIPE, text=True,
                                 env=dict(os.environ, HEXAD_FUZZ_LIST="1")).stdout
            for line in out.splitlines():
                target, decoder, *names = line.split()
                found[target, decoder] = names
    return found


def read():
    entries = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                if not line.startswith("#"):
                    target, decoder, what, executions, seconds, findings, date = line.split()
                    entries[target, decoder, what] = [int(executions), float(seconds), int(findings), date]
    return entries


def write(entries):
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(HEADER)
        for key, entry in sorted(entries.items()):
            f.write("%s %s %s %d %.1f %d %s\n" % (*key, *entry))
    os.replace(path + ".new", path)


def rows(file):
    with open(file, encoding="utf-8") as f:
        return [line.split() for line in f]


def add(counts, found=None):
    known, entries = decoders(), read()
    today = datetime.date.today().isoformat()
    news = [(t, d, int(n), int(ms) / 1000, 0) for t, d, n, ms in rows(counts)] if os.path.exists(counts) else []
    news += [(t, d, 0, 0, 1) for t, d in rows(found)] if found else []
    for target, decoder, executions, seconds, findings in news:
        if executions + findings > 0:
            key = target, decoder, version(known[target, decoder])
            e = entries.get(key, [0, 0, 0, today])
            entries[key] = [e[0] + executions, e[1] + seconds, e[2] + findings, today]
    write(entries)


def show(goal):
    entries = read()
    form = "%-8s %-22s %-12s %12s %12s %8s %10s %9s %9s"
    print(form % ("target", "decoder", "version", "executions", "all versions", "findings", "last run", "a second",
                  "s left" if goal else ""))
    total = 0
    for (target, decoder), names in sorted(decoders().items()):
        of_all = [e for (t, d, _), e in entries.items() if (t, d) == (target, decoder)]
        executions, seconds, _, date = entries.get((target, decoder, version(names)), [0, 0, 0, "never"])
        rate = executions / seconds if seconds else 0
        wait = max(0, goal - executions) / rate if rate else 0
        total += wait
        print(form % (target, decoder, version(names), executions, sum(e[0] for e in of_all), sum(e[2] for e in of_all),
                      date, round(rate) or "", round(wait) if goal and rate else ""))
    if goal:
        print("seconds of a processor left to %d executions of each that has run: %d" % (goal, total))


def left(goal, targets):
    entries = read()
    found = [(goal - entries.get((target, decoder, version(names)), [0])[0], target, decoder)
             for (target, decoder), names in decoders().items() if target in targets]
    for more, target, decoder in sorted(found):
        if more > 0:
            print(target, decoder, more)


def check(coverage, target, decoder):
    """The product's files that the decoder has run and that are not among those it names."""
    named = set(files_of(BASE + decoders()[target, decoder]))
    with open(coverage, encoding="utf-8", errors="replace") as f:
        ran = set(re.findall(r"COVERED_FUNC: .*edges: [1-9].* (?:\S*/)?(src/[a-z]+/\S+?\.[ch]):\d+", f.read(), re.M))
    for name in sorted(ran - named):
        print("%s %s runs %s, which is not in its version" % (target, decoder, name))
    return 1 if ran - named else 0


def main(args):
    if args[:1] == ["add"] and len(args) in (2, 3):
        return add(*args[1:])
    if args[:1] == ["show"] and len(args) < 3:
        return show(int((args + [0])[1]))
    if args[:1] == ["left"] and len(args) > 2:
        return left(int(args[1]), args[2:])
    if args[:1] == ["check"] and len(args) == 4:
        return check(*args[1:])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
