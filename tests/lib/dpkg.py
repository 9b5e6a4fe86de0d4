#!/usr/bin/env python3
"""Turns a file in the format of /var/lib/dpkg/status into SQL for sqlite3: one row a field,
a transaction per ROWS packages."""
import sys

rows = int(sys.argv[2])
q = lambda s: "'" + s.replace("'", "''").replace("\0", "") + "'"
print("create table field(package text, name text, value text);\ncreate index by_name on field(name, package);")
with open(sys.argv[1], encoding="utf-8", errors="replace") as f:
    stanzas = f.read().split("\n\n")
for i in range(0, len(stanzas), rows):
    print("begin;")
    for s in stanzas[i : i + rows]:
        package, name, value = "", None, []
        for line in s.split("\n") + ["end:"]:
            if line[:1] in " \t":
                value.append(line)
                continue
            if name:
                package = value[0] if name == "Package" else package
                print("insert into field values(%s, %s, %s);" % (q(package), q(name), q("\n".join(value))))
            name, _, rest = line.partition(":")
            value = [rest.strip()]
    print("commit;")
