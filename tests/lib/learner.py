#!/usr/bin/env python3
"""Makes a segment server a learner of a volume's first group, and looks at what it has (doc/PROTOCOL.md, "learner").

  learner.py CONF VOLUME MEMBER NAME URL make      FORMAT, as a driver would send it
  learner.py CONF VOLUME MEMBER NAME URL state     prints "filling BYTES OF-ALL" or "filled SCL"
  learner.py CONF VOLUME MEMBER NAME URL compare   every page of NAME, at the newest point that both have, against MEMBER

CONF is a hexad.conf with a writer's certificate; NAME at URL need not be in it.  Written from the documents (wire.py).
"""
import os
import struct
import sys
import tempfile

import wire

LAGGING, STATUS = 103, 13


class Peer(wire.Writer):
    def __init__(self, conf, name):
        super().__init__(wire.Connection(conf, name), bytes(16))

    def lookup(self, name):
        """(volume, top epoch, promised epoch, geometry's bytes)"""
        r = self.ask(wire.LOOKUP, struct.pack("<H", len(name)) + name.encode(), volume=bytes(16))
        if r.status:
            sys.exit("LOOKUP: status %d" % r.status)
        volume, top, promised = struct.unpack_from("<16sQQ", r.body)
        at = 32 + 25
        return volume, top, promised, r.body[at + 2 + struct.unpack_from("<H", r.body, at)[0]:]

    def segment(self, volume):
        """Of group 0: SCL, VDL, state, bytes done and in all of what it is at; None: there is none."""
        r = self.ask(STATUS, volume=volume)
        at, n = 4, struct.unpack_from("<I", r.body)[0]
        for _ in range(n):
            at += 16
            at += 2 + struct.unpack_from("<H", r.body, at)[0]
            pg, top, _, scl, _, vdl = struct.unpack_from("<IQQQQQ", r.body, at)
            state, = struct.unpack_from("<I", r.body, at + 4 + 10 * 8)
            scrub = struct.unpack_from("<8Q", r.body, at + 4 + 10 * 8 + 4)
            at += 4 + 10 * 8 + 4 + 64 + 25
            at += 2 + struct.unpack_from("<H", r.body, at)[0]
            if pg == 0:
                return {"top": top, "scl": scl, "vdl": vdl, "state": state, "done": scrub[2], "all": scrub[3]}
        return None

    def pages(self, volume, epoch, point, first, count):
        body = struct.pack("<QI%dI" % count, point, count, *range(first, first + count))
        r = self.ask(wire.READ, body, volume=volume, epoch=epoch)
        if r.status:
            sys.exit("READ of page %d: status %d" % (first, r.status))
        at, out = 16 * count, []
        for i in range(count):
            state, crc, lsn = struct.unpack_from("<BxxxIQ", r.body, 16 * i)
            out.append((state, lsn, r.body[at:at + 4096] if state == 0 else b""))
            at += 4096 if state == 0 else 0
        return out


def main():
    conf, name, member, server, url, what = sys.argv[1:7]
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(os.path.abspath(conf)), suffix=".conf") as f:
        text = open(conf).read().rstrip("\n")
        f.write("%s\n%s = az-a %s\n" % (text, server, url))
        f.flush()
        old, new = Peer(conf, member), Peer(f.name, server)
    volume, top, promised, geometry = old.lookup(name)
    at = 18 + 2 + struct.unpack_from("<H", geometry, 18)[0]
    pg_bytes, lal = struct.unpack_from("<QQ", geometry, at)
    if what == "make":
        history = struct.pack("<IQQQQ", 1, 1, 0, 0, lal)  # the rest of it comes from its peers
        r = new.ask(wire.FORMAT, geometry + history + b"\x01", volume=volume, epoch=max(top, promised))
        if r.status:
            sys.exit("FORMAT: status %d" % r.status)
    elif what == "state":
        s = new.segment(volume)
        print("none" if not s else "filling %d %d" % (s["done"], s["all"]) if s["state"] == LAGGING else
              "filled %d" % s["scl"])
    else:
        theirs, ours = old.segment(volume), new.segment(volume)
        point, written = min(theirs["scl"], ours["scl"]), 0
        for first in range(0, pg_bytes // 4096, 512):
            a = old.pages(volume, theirs["top"], point, first, 512)
            b = new.pages(volume, theirs["top"], point, first, 512)
            for i in range(512):
                written += a[i][0] == 0
                if a[i] != b[i]:
                    sys.exit("page %d as of %d: %s has %s, %s has %s" %
                             (first + i, point, member, a[i][:2], server, b[i][:2]))
        print("%d pages with content as of %d are the same" % (written, point))
        sys.exit(written == 0)


if __name__ == "__main__":
    main()
