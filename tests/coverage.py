"""Reads what gcov says about branches (JSON, one document a line) and prints them per file; --list: those not reached.

Left out: branches of asserts (the other side of an assert is a bug of ours), and headers.
"""
import json
import sys


def main(args):
    show = "--list" in args
    source, *files = [a for a in args if a != "--list"]
    lines = {}  # (file, line) -> [count of each branch]
    for name in files:
        with open(name, encoding="utf-8") as f:
            for text in f:
                if not text.startswith("{"):
                    continue
                for one in json.loads(text)["files"]:
                    path = one["file"].removeprefix(source + "/").removeprefix("../")
                    if not path.startswith("src/") or not path.endswith(".c"):
                        continue
                    for line in one["lines"]:
                        if line["branches"]:
                            at = lines.setdefault((path, line["line_number"]), [])
                            counts = [b["count"] for b in line["branches"]]
                            at[:] = [a + b for a, b in zip(at, counts)] if at else counts
    texts = {}
    totals = {}
    missing = []
    for (path, number), counts in sorted(lines.items()):
        if path not in texts:
            with open(source + "/" + path, encoding="utf-8") as f:
                texts[path] = f.read().split("\n")
        text = texts[path][number - 1].strip()
        if text.startswith("hx_assert("):
            continue
        file = totals.setdefault(path, [0, 0])
        file[0] += sum(c > 0 for c in counts)
        file[1] += len(counts)
        if not all(counts):
            missing.append(f"{path}:{number}: {sum(c == 0 for c in counts)} of {len(counts)}: {text}")
    if show:
        print("\n".join(missing))
    for layer in ("src/core/", "src/store/"):
        there = {p: t for p, t in totals.items() if p.startswith(layer)}
        for path, (taken, all_) in sorted(there.items()):
            print(f"{taken:6} of {all_:6}  {100 * taken / all_:5.1f} %  {path}")
        taken, all_ = (sum(t[i] for t in there.values()) for i in (0, 1))
        print(f"{taken:6} of {all_:6}  {100 * taken / max(all_, 1):5.1f} %  {layer} in all")
    taken, all_ = (sum(t[i] for t in totals.values()) for i in (0, 1))
    print(f"{taken:6} of {all_:6}  {100 * taken / max(all_, 1):5.1f} %  all")


main(sys.argv[1:])
