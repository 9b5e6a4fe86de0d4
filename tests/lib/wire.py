#!/usr/bin/env python3
"""Speaks the protocol of include/hexad/msg.h and frame.h by hand, over TLS, and plays the network's tricks with it.

  wire.py CONF VOLUME SERVER      prints "ok NAME" or "not ok NAME: why" for each case

CONF is a hexad.conf whose certificate is a writer's, VOLUME a volume that nobody has mounted, SERVER the one that is
spoken to.
Written from the documents, not with the project's code: a second opinion on the bytes as well.
"""
import configparser
import os
import socket
import ssl
import struct
import sys

HELLO, LOOKUP, FORMAT, FENCE, FETCH, REPAIR, ADOPT, GEOMETRY, APPEND, READ = range(1, 11)
BADMSG, FENCED, NEED_HISTORY, LAGGING, STRANGER = 4, 101, 102, 103, 108
PATCH, IMAGE = 1, 2

TABLE = []
for i in range(256):
    c = i
    for _ in range(8):
        c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
    TABLE.append(c)


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = (c >> 8) ^ TABLE[(c ^ b) & 0xFF]
    return c ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def summed(data):
    return data + struct.pack("<I", crc32c(data))


def frame(volume, epoch, prev, records, pg=0, vdl=0):
    """RECORDS: (lsn, page, kind, flags, payload), ascending."""
    first = records[0][0]
    body = b"".join(struct.pack("<IIHBB", r[0] - first, r[1], len(r[4]), r[2], r[3]) for r in records)
    body += b"".join(r[4] for r in records)
    head = struct.pack("<IHBB16sIIQQQQQQQQIII", 0x31465848, 1, 0, 0, volume, pg, len(records), epoch, first,
                       records[-1][0], prev, vdl, 0, 0, 1, len(body), len(body), crc32c(body))
    return summed(head) + body


class Reply:
    def __init__(self, raw):
        (magic, version, self.type, self.id, self.status, self.flags, self.server, self.promised, self.owner, length,
         crc, head_crc) = struct.unpack("<IHHQII16sQ16sIII", raw[:76])
        self.body = raw[76:]
        if magic != 0x31505848 or version != 1 or head_crc != crc32c(raw[:72]):
            raise ValueError("malformed answer head")
        if length != len(self.body) or crc != crc32c(self.body):
            raise ValueError("malformed answer body")


class Connection:
    def __init__(self, conf, name):
        c = configparser.ConfigParser(delimiters="=")
        c.read(conf)
        base = os.path.dirname(os.path.abspath(conf))
        path = {k: os.path.join(base, c["tls"][k]) for k in ("ca", "cert", "key")}
        self.address = c["servers"][name].split()[1].removeprefix("https://").rsplit(":", 1)
        self.tls = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=path["ca"])
        self.tls.load_cert_chain(path["cert"], path["key"])
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self.id = 0
        self.s = None
        self.open()

    def open(self):
        self.close()
        raw = socket.create_connection((self.address[0], int(self.address[1])), timeout=60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s = self.tls.wrap_socket(raw, server_hostname=self.address[0])
        self.rest = b""

    def close(self):
        if self.s:
            self.s.close()
        self.s = None

    def http(self, body, length=None):
        n = len(body) if length is None else length
        return b"POST /v1/msg HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % n + body

    def send(self, data):
        self.s.sendall(data)

    def receive(self):
        """(HTTP status, body) of the next answer; (0, b"") when the connection ended."""
        while b"\r\n\r\n" not in self.rest:
            more = self.s.recv(65536)
            if not more:
                return 0, b""
            self.rest += more
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        length = 0
        for line in head.split(b"\r\n")[1:]:
            k, _, v = line.partition(b":")
            if k.strip().lower() == b"content-length":
                length = int(v)
        while len(self.rest) < length:
            more = self.s.recv(65536)
            if not more:
                return 0, b""
            self.rest += more
        body, self.rest = self.rest[:length], self.rest[length:]
        return int(head.split()[1]), body

    def post(self, message):
        self.send(self.http(message))
        status, body = self.receive()
        if status != 200:
            raise ValueError("HTTP status %d" % status)
        return Reply(body)


class Writer:
    """One epoch of one volume, as this client claims it on one server."""

    def __init__(self, connection, volume):
        self.c, self.volume = connection, volume
        self.server, self.epoch, self.owner = bytes(16), 0, os.urandom(16)
        self.server = self.ask(HELLO, volume=bytes(16)).server

    def message(self, kind, body=b"", epoch=None, owner=None, volume=None, server=None, pg=0):
        self.c.id += 1
        head = struct.pack("<IHHQ16s16sQ16sIIIII", 0x31515848, 1, kind, self.c.id, volume or self.volume,
                           server or self.server, self.epoch if epoch is None else epoch, owner or self.owner, pg, 1, 0,
                           len(body), crc32c(body))
        return summed(head) + body

    def ask(self, kind, body=b"", **k):
        return self.c.post(self.message(kind, body, **k))

    def fence(self, epoch):
        self.epoch = epoch
        return self.ask(FENCE)

    def inventory(self, reply):
        scl, base, hint, flags, _, entries, unknowns, count = struct.unpack_from("<QQQBBIII", reply.body)
        at = struct.calcsize("<QQQBBIII")
        history = [struct.unpack_from("<QQQQ", reply.body, at + 32 * i) for i in range(count)]
        return scl, history

    def take(self, epoch):
        """FENCE, then ADOPT of the history with this epoch: the server belongs to us."""
        r = self.fence(epoch)
        if r.status:
            raise ValueError("FENCE: status %d, promised %d" % (r.status, r.promised))
        scl, history = self.inventory(r)
        vdl = max(scl, history[-1][1]) if scl else history[-1][1]
        end = max(vdl, history[-1][2]) + history[-1][3]
        history.append((epoch, vdl, end, history[-1][3]))
        self.history = struct.pack("<I", len(history)) + b"".join(struct.pack("<QQQQ", *h) for h in history)
        r = self.ask(ADOPT, self.history)
        if r.status:
            raise ValueError("ADOPT: status %d" % r.status)
        self.prev, self.next, self.scl = scl, end + 1, scl

    def append_body(self, *frames):
        return struct.pack("<QQIIH", 0, 0, 0, len(frames), 0) + b"".join(frames)

    def append(self, *frames):
        return self.ask(APPEND, self.append_body(*frames))

    def records(self, *changes):
        """A frame for CHANGES (page, kind, payload), each its own mini-transaction; advances LSN and backlink."""
        out = []
        prev = self.prev
        for page, kind, payload in changes:
            out.append((self.next, page, kind, 1, payload))
            self.prev = self.next
            self.next += 1
        return frame(self.volume, self.epoch, prev, out)

    def page(self, page, point):
        r = self.ask(READ, struct.pack("<QII", point, 1, page))
        if r.status:
            return r.status, b""
        state, crc, lsn = struct.unpack_from("<BxxxIQ", r.body)
        content = r.body[16:] if state == 0 else bytes(4096)
        return 0, content


def ack(reply):
    """(status, SCL) of the first acknowledgement."""
    if reply.status:
        return reply.status, 0
    pg, status, scl = struct.unpack_from("<IIQ", reply.body)
    return status, scl


def expect(what, got, wanted):
    if got != wanted:
        raise AssertionError("%s: %r instead of %r" % (what, got, wanted))


def patch(at, data):
    return struct.pack("<HH", at, len(data)) + data


# ---- cases: each gets a writer that owns the server under a fresh epoch ----

def a_repeated_append_is_one_append_and_two_answers(w):
    w.append(w.records((5, IMAGE, b"A" * 4000)))
    change = w.records((5, PATCH, patch(10, b"once")))
    again = w.message(APPEND, w.append_body(change))
    for i in range(3):
        expect("answer %d" % i, ack(w.c.post(again)), (0, w.prev))
    status, content = w.page(5, w.prev)
    expect("page", (status, content[:4000]), (0, b"A" * 10 + b"once" + b"A" * 3986))


def a_repeated_append_after_later_ones_takes_nothing_back(w):
    first = w.records((6, IMAGE, b"old" * 1000))
    second = w.records((6, IMAGE, b"new" * 1000))
    w.append(first)
    expect("second", ack(w.append(second)), (0, w.prev))
    expect("the first one late", ack(w.append(first)), (0, w.prev))
    expect("page", w.page(6, w.prev)[1][:3000], b"new" * 1000)


def reordered_appends_count_only_without_a_hole(w):
    start = w.records((7, IMAGE, b"0" * 100))
    expect("start", ack(w.append(start)), (0, w.prev))
    before = w.prev
    second, third, fourth = (w.records((7, PATCH, patch(i, b"x"))) for i in range(3))
    expect("fourth first", ack(w.append(fourth)), (0, before))
    expect("then third", ack(w.append(third)), (0, before))
    status, content = w.page(7, w.prev)
    expect("a read beyond the hole", status, LAGGING)
    expect("second fills it", ack(w.append(second)), (0, w.prev))
    expect("page", w.page(7, w.prev)[1][:5], b"xxx00")


def frames_of_one_request_may_come_in_any_order(w):
    a, b, c = (w.records((8, IMAGE, bytes([i]) * 50)) for i in (1, 2, 3))
    expect("c b a", ack(w.append(c, b, a)), (0, w.prev))
    expect("page", w.page(8, w.prev)[1][:50], b"\3" * 50)


def a_delayed_append_of_a_fenced_epoch_changes_nothing(w):
    expect("mine", ack(w.append(w.records((9, IMAGE, b"mine")))), (0, w.prev))
    late = w.message(APPEND, w.append_body(w.records((9, IMAGE, b"late"))))
    other = Writer(w.c, w.volume)
    other.take(w.epoch + 1)
    r = w.c.post(late)
    expect("late", r.status or ack(r)[0], FENCED)
    expect("promised", r.promised, other.epoch)
    expect("other", ack(other.append(other.records((10, IMAGE, b"other")))), (0, other.prev))
    expect("page", other.page(9, other.prev)[1][:4], b"mine")


def a_delayed_fence_of_a_lower_epoch_is_refused(w):
    late = w.message(FENCE)
    other = Writer(w.c, w.volume)
    other.take(w.epoch + 1)
    r = w.c.post(late)
    expect("late", (r.status, r.promised, r.owner), (FENCED, other.epoch, other.owner))
    r = other.fence(other.epoch)
    expect("the holder again", r.status, 0)


def two_owners_of_one_epoch_have_one_winner(w):
    other = Writer(w.c, w.volume)
    r = other.fence(w.epoch)
    expect("the second", (r.status, r.owner), (FENCED, w.owner))


def an_append_before_the_history_is_not_stored(w):
    expect("fence", w.fence(w.epoch + 1).status, 0)
    w.next += 10**6
    f = w.records((11, IMAGE, b"early"))
    r = w.append(f)
    expect("append", r.status or ack(r)[0], NEED_HISTORY)


def a_truncated_body_is_refused_and_the_connection_lives_or_ends(w):
    f = w.records((12, IMAGE, b"t" * 3000))
    whole = w.message(APPEND, w.append_body(f))
    for cut in (1, 50, 96, 97, len(whole) // 2, len(whole) - 1):
        # HTTP is whole, the message in it is not
        w.c.send(w.c.http(whole[:cut]))
        status, body = w.c.receive()
        if status == 200:
            if Reply(body).status == 0:
                raise AssertionError("%d of %d bytes were accepted" % (cut, len(whole)))
        elif status == 0:
            w.c.open()
    for cut in (1, 96, len(whole) // 2, len(whole) - 1):
        # HTTP promises more than comes before the connection is cut
        w.c.send(w.c.http(whole[:cut], len(whole)))
        w.c.open()
    expect("what was stored of it", w.inventory(w.fence(w.epoch))[0], w.scl)
    expect("the whole is taken", ack(w.c.post(whole)), (0, w.prev))


def a_damaged_byte_anywhere_is_noticed(w):
    f = w.records((13, IMAGE, b"d" * 300))
    good = w.message(APPEND, w.append_body(f))
    for at in range(0, len(good), 7):
        bad = bytearray(good)
        bad[at] ^= 0x10
        r = None
        w.c.send(w.c.http(bytes(bad)))
        status, body = w.c.receive()
        if status == 0:
            w.c.open()
            continue
        if status == 200:
            r = Reply(body)
            if r.status == 0 and ack(r)[0] == 0:
                raise AssertionError("byte %d changed, and accepted" % at)
    expect("the good one", ack(w.c.post(good)), (0, w.prev))


def a_frame_whose_own_sum_is_wrong_is_refused(w):
    f = bytearray(w.records((14, IMAGE, b"s" * 300)))
    good = bytes(f)
    f[-5] ^= 1
    r = w.append(bytes(f))  # the message's sums are right, the frame's is not
    if r.status == 0 and ack(r)[0] == 0:
        raise AssertionError("accepted")
    expect("the good one", ack(w.append(good)), (0, w.prev))


def another_servers_incarnation_is_refused(w):
    f = w.records((15, IMAGE, b"i"))
    r = w.ask(APPEND, w.append_body(f), server=os.urandom(16))
    expect("status", r.status, STRANGER)
    expect("right", ack(w.append(f)), (0, w.prev))


def garbage_is_answered_and_the_server_goes_on(w):
    for raw in (b"", b"x" * 10, os.urandom(96), os.urandom(5000), w.message(APPEND, os.urandom(200)),
                w.message(READ, struct.pack("<QI", 1, 0xFFFFFFFF)), w.message(FETCH, b"\xff" * 20),
                w.message(ADOPT, struct.pack("<I", 0xFFFFFFFF)), w.message(200), w.message(0)):
        w.c.send(w.c.http(raw))
        status, body = w.c.receive()
        if status == 0:
            w.c.open()
        elif status == 200 and Reply(body).status == 0:
            raise AssertionError("accepted: %r" % raw[:20])
    for raw in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100 + b"\r\n\r\n",
                b"POST /v1/msg HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"):
        w.c.send(raw)
        status, body = w.c.receive()
        if status == 200:
            raise AssertionError("accepted: %r" % raw[:20])
        w.c.open()
    expect("still serving", ack(w.append(w.records((16, IMAGE, b"alive")))), (0, w.prev))


CASES = [v for k, v in list(globals().items()) if callable(v) and getattr(v, "__code__", None)
         and v.__code__.co_varnames[:1] == ("w",) and "_" in k]


def main():
    conf, volume, name = sys.argv[1:4]
    c = Connection(conf, name)
    for f in CASES:
        title = f.__name__.replace("_", " ")
        try:
            c.open()
            probe = Writer(c, bytes.fromhex(volume))
            probe.epoch = 0
            r = probe.ask(FENCE, epoch=1)  # refused or not, it says what has been promised
            w = Writer(c, bytes.fromhex(volume))
            w.take(max(r.promised, 1) + 1)
            f(w)
            print("ok " + title)
        except (AssertionError, ValueError, OSError, struct.error) as e:
            print("not ok %s: %s: %s" % (title, type(e).__name__, e))


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f.__name__ for f in CASES))
    else:
        main()
