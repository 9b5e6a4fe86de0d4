"""Reads what gcov says about branches (JSON, one document a line), prints them per file and holds them against
tests/unreached.txt, which names each branch that is not reached and says why (its head says how it is written).

    coverage.py [--list] [--partial] SOURCE FILE...     --list: every branch that is not reached, as it is written there
                                                        --partial: not all programs ran: nothing is compared

Fails when a branch is not reached and has no reason, when a reason is for a branch that is reached or gone, and when a
layer that has an aim is below it.  Left out: branches of asserts (the other side is a bug of ours), and headers.
"""
import collections
import json
import re
import sys

AIM = {"core": 97.0, "store": 95.0}  # per cent; the other layers are only counted
UNREACHED = "tests/unreached.txt"
# Parts of src/store that decide nothing while a server runs (hexad-segmentd --check, --dump): counted apart.
OFFLINE = {"src/store/check.c", "src/store/dump.c", "src/store/offline.c"}
ENTRY = re.compile(r"    (\d+(?:,\d+)*)/(\d+)(\?)?  (\S.*)")


def read_gcov(names, source):
    """(path, line) -> [function, [count of each branch]]"""
    lines = {}
    for name in names:
        with open(name, encoding="utf-8") as f:
            documents = [json.loads(text) for text in f if text.startswith("{")]
        for one in (one for document in documents for one in document["files"]):
            path = one["file"].removeprefix(source + "/").removeprefix("../")
            if not path.startswith("src/") or not path.endswith(".c"):
                continue
            for line in (line for line in one["lines"] if line["branches"]):
                number = line["line_number"]
                function = next(f["name"] for f in one["functions"] if f["start_line"] <= number <= f["end_line"])
                counts = [b["count"] for b in line["branches"]]
                at = lines.setdefault((path, number), [function, [0] * len(counts)])
                at[1] = [a + b for a, b in zip(at[1], counts)]
    return lines


def layer_of(path):
    return "store (offline)" if path in OFFLINE else path.split("/")[1]


def in_assert(text, number):
    """Is line NUMBER of the file's lines TEXT part of an assert?"""
    at = number - 1
    while at > 0 and not text[at].lstrip().startswith("hx_assert(") and not text[at - 1].rstrip().endswith((";", "{", "}", "*/")):
        at -= 1
    return text[at].lstrip().startswith("hx_assert(")


def read_reasons(name):
    """[(line, (path, function, text, branches, of), sometimes)]; wrong lines end the program."""
    found, pending, place = [], [], None
    with open(name, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            entry = ENTRY.fullmatch(line)
            if not line or line.startswith("#"):
                continue
            if entry and place:
                key = (*place, " ".join(entry[4].split()), tuple(int(n) for n in entry[1].split(",")), int(entry[2]))
                pending.append((number, key, entry[3] is not None))
            elif re.fullmatch(r"        \S.*", line):
                found += pending
                pending = []
            elif re.fullmatch(r"\w+/\w+\.c \w+", line):
                place = ("src/" + line.split()[0], line.split()[1])
            else:
                sys.exit(f"{name}:{number}: neither a place, a branch nor a reason: {line}")
    if pending:
        sys.exit(f"{name}:{pending[0][0]}: no reason follows")
    return found


def say(key):
    path, function, text, branches, of = key
    return f"{path.removeprefix('src/')} {function}\n    {','.join(map(str, branches))}/{of}  {text}"


def compare(missing, name):
    """Prints what is unreached without a reason, and reasons for nothing; returns how many."""
    wrong = 0
    open_ = collections.Counter(key for key, _ in missing)
    for number, key, sometimes in read_reasons(name):
        if open_[key] > 0:
            open_[key] -= 1
        elif not sometimes:
            print(f"{UNREACHED}:{number}: is reached, or gone, or otherwise split:\n{say(key)}")
            wrong += 1
    where = {}
    for key, line in missing:
        where.setdefault(key, []).append(line)
    for key, count in open_.items():
        for line in where[key][:count]:
            print(f"{key[0]}:{line}: not reached, and {UNREACHED} does not say why:\n{say(key)}")
            wrong += 1
    return wrong


def main(args):
    flags = {a for a in args if a.startswith("--")}
    source, *files = [a for a in args if a not in flags]
    texts, totals, missing = {}, {}, []
    for (path, number), (function, counts) in sorted(read_gcov(files, source).items()):
        if path not in texts:
            with open(source + "/" + path, encoding="utf-8") as f:
                texts[path] = f.read().split("\n")
        if in_assert(texts[path], number):
            continue
        file = totals.setdefault(path, [0, 0])
        file[0] += sum(c > 0 for c in counts)
        file[1] += len(counts)
        if not all(counts):
            zero = tuple(i for i, c in enumerate(counts) if c == 0)
            missing.append(((path, function, " ".join(texts[path][number - 1].split()), zero, len(counts)), number))
    wrong = 0
    if "--list" in flags:
        place = None
        for key, number in missing:
            if key[:2] != place:
                print(f"{key[0].removeprefix('src/')} {key[1]}")
            place = key[:2]
            print(say(key).split("\n")[1] + f"    # {number}")
    for layer in sorted({layer_of(path) for path in totals}):
        there = {p: t for p, t in totals.items() if layer_of(p) == layer}
        for path, (taken, all_) in sorted(there.items()):
            print(f"{taken:6} of {all_:6}  {100 * taken / all_:5.1f} %  {path}")
        taken, all_ = (sum(t[i] for t in there.values()) for i in (0, 1))
        print(f"{taken:6} of {all_:6}  {100 * taken / all_:5.1f} %  src/{layer} in all")
        if "--partial" not in flags and 100 * taken < AIM.get(layer, 0) * all_:
            print(f"src/{layer}: below its aim of {AIM[layer]} %")
            wrong += 1
    if "--partial" not in flags:
        wrong += compare([m for m in missing if layer_of(m[0][0]) in AIM], f"{source}/{UNREACHED}")
    sys.exit(wrong > 0)


main(sys.argv[1:])
