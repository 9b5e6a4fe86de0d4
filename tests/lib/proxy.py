#!/usr/bin/env python3
"""A bad network between a client and segment servers: cuts connections anywhere inside a request or an answer, and
delays.

  proxy.py CONF OUT SEED CALM LOG     writes OUT, a copy of CONF whose servers are this proxy's ports, and
                                      forwards until killed

Each piece of data is cut short with the connection reset (1 in 60), or held back up to 40 ms (1 in 12): so
requests arrive truncated, answers get lost after the server has acted, the sender repeats what was done already,
and what went over another connection overtakes. While the file CALM exists the network is good. LOG gets a line
for each cut.
"""
import asyncio
import os
import random
import re
import socket
import struct
import sys

conf, out, seed, calm, log_path = sys.argv[1:6]
rng = random.Random(seed)
log = open(log_path, "a", buffering=1)


def reset(writer):
    s = writer.get_extra_info("socket")
    if s is not None and not writer.is_closing():
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


async def pump(reader, writer, other, what):
    try:
        while data := await reader.read(65536):
            bad = not os.path.exists(calm)
            if bad and rng.random() < 1 / 60:
                keep = rng.randrange(len(data))
                log.write("%s cut after %d of %d\n" % (what, keep, len(data)))
                writer.write(data[:keep])
                await writer.drain()
                reset(other)
                reset(writer)
                return
            if bad and rng.random() < 1 / 12:
                await asyncio.sleep(rng.random() * 0.04)
            writer.write(data)
            await writer.drain()
        writer.close()
    except OSError:
        reset(writer)
        reset(other)


async def main():
    text = open(conf).read()
    base = os.path.dirname(os.path.abspath(conf))
    text = re.sub(r"(?m)^(ca|cert|key)( *= *)(?!/)", r"\1\g<2>%s/" % base, text)
    for name, url, port in re.findall(r"(?m)^(\w+) *= *\S+ +(https://127\.0\.0\.1:(\d+))$", text):
        async def serve(r, w, port=port, name=name):
            try:
                sr, sw = await asyncio.open_connection("127.0.0.1", int(port))
            except OSError:
                return reset(w)
            await asyncio.gather(pump(r, sw, w, "request to " + name), pump(sr, w, sw, "answer of " + name))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        mine = server.sockets[0].getsockname()[1]
        text = re.sub(re.escape(url) + "$", "https://127.0.0.1:%d" % mine, text, flags=re.M)
    with open(out + ".new", "w") as f:
        f.write(text)
    os.chmod(out + ".new", 0o600)
    os.rename(out + ".new", out)
    await asyncio.Event().wait()


asyncio.run(main())
