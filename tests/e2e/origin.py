#!/usr/bin/python3
"""A backend that does what a request asks it to do: an HTTP/1.1 origin, a TCP echo and a UDP echo, in one process.

usage: origin.py NAME [--http PORT] [--echo PORT]

HTTP (every answer has X-Backend: NAME, and X-Count: how often this origin has seen the path):
  /echo             JSON: method, target, headers as they came, the peer's address and port
  /sha256           hex digest of the request's body
  /bytes/N          N bytes that depend on their position alone
  /slow-body/N      N bytes, one every 50 ms
  /drop             closes the connection without an answer
  /half             promises 1000 bytes, sends 10, closes
  /garbage          an answer that is not HTTP
  /count            JSON: how often each path was asked for
  anything else     status 200 and a short text; the query may say:
                      status=N size=N delay=SECONDS chunked=1 close=1 h=Name:Value (repeated)
                      etag=TEXT (If-None-Match with it is answered 304) 1xx=1 (a 103 goes in front)
TCP echo: greets with "NAME PEER-ADDRESS PEER-PORT\n", then answers each line with "NAME PEER-PORT line".
UDP echo: answers each datagram with "NAME PEER-ADDRESS PEER-PORT datagram".
"""
import argparse
import asyncio
import collections
import hashlib
import json
import socket
import sys
from urllib.parse import parse_qs, unquote, urlsplit

CHUNK = 64 << 10


def pattern(offset: int, size: int) -> bytes:
    """`size` bytes of the endless text that /bytes/ serves, from `offset` on."""
    block = b"".join(b"%015x\n" % number for number in range(offset // 16, (offset + size) // 16 + 1))
    return block[offset % 16 : offset % 16 + size]


class Request:
    def __init__(self, method: str, target: str, headers: list[tuple[str, str]]):
        self.method, self.target, self.headers = method, target, headers
        parts = urlsplit(target)
        self.path = unquote(parts.path)
        self.query = parse_qs(parts.query, keep_blank_values=True)

    def header(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key.lower() == name), default)

    def option(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]


class Origin:
    def __init__(self, name: str):
        self.name = name
        self.seen: collections.Counter[str] = collections.Counter()

    # ---- HTTP ----

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        try:
            while await self.exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer) -> bool:
        """One request and its answer. Returns whether the connection is kept."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ", 2)
        headers = [(line.split(":", 1)[0], line.split(":", 1)[1].strip()) for line in lines[1:] if line]
        request = Request(method, target, headers)
        if request.path != "/count":
            self.seen[request.path] += 1
        digest = await self.read_body(reader, writer, request)
        keep = version == "HTTP/1.1" and request.header("connection").lower() != "close" and not request.option("close")
        if request.path == "/drop":
            return False
        if request.path == "/garbage":
            writer.write(b"\x00\x01\x02 this is not HTTP\r\n\r\n")
            return False
        if request.option("delay"):
            await asyncio.sleep(float(request.option("delay")))
        await self.answer(writer, request, digest, keep)
        return keep and request.path != "/half"

    async def read_body(self, reader, writer, request: Request) -> str:
        """Reads the body to its end; returns its SHA-256."""
        digest = hashlib.sha256()
        if request.header("expect").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in request.header("transfer-encoding").lower():
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                digest.update((await reader.readexactly(size + 2))[:-2])
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
        left = int(request.header("content-length", "0"))
        while left:
            data = await reader.read(min(left, CHUNK))
            if not data:
                raise ConnectionError("the body ended early")
            digest.update(data)
            left -= len(data)
        return digest.hexdigest()

    async def answer(self, writer, request: Request, digest: str, keep: bool):
        status = int(request.option("status", "200"))
        extra = [tuple(item.split(":", 1)) for item in request.query.get("h", [])]
        kind, body, size = "text/plain", b"", None
        first, _, rest = request.path.lstrip("/").partition("/")
        if request.path == "/echo":
            peer = writer.get_extra_info("peername")
            kind = "application/json"
            body = json.dumps({"backend": self.name, "method": request.method, "target": request.target,
                               "headers": request.headers, "peer": list(peer[:2])}).encode()
        elif request.path == "/sha256":
            body = digest.encode()
        elif request.path == "/count":
            kind, body = "application/json", json.dumps(self.seen).encode()
        elif first in {"bytes", "slow-body", "half"}:
            size = int(rest or 1000)
        elif request.option("size"):
            size = int(request.option("size"))
        else:
            body = f"{self.name} {request.path} {self.seen[request.path]}\n".encode()
        etag = request.option("etag")
        if etag:
            extra.append(("ETag", f'"{etag}"'))
            if f'"{etag}"' in request.header("if-none-match"):
                status, body, size = 304, b"", None
        length = len(body) if size is None else size
        chunked = bool(request.option("chunked")) and status != 304
        bodiless = request.method == "HEAD" or status in {204, 304}
        framing = [("Transfer-Encoding", "chunked")] if chunked else [] if status in {204, 304} else [("Content-Length", str(length))]
        fields = [("Content-Type", kind), ("X-Backend", self.name), ("X-Count", str(self.seen[request.path])), *framing, *extra]
        if not keep:
            fields.append(("Connection", "close"))
        if request.option("1xx"):
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} Whatever\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in fields) + b"\r\n")
        if bodiless:
            await writer.drain()
        elif size is None:
            self.write_piece(writer, body, chunked)
            self.write_end(writer, chunked)
            await writer.drain()
        else:
            await self.write_pattern(writer, first, size, chunked)

    async def write_pattern(self, writer, kind: str, size: int, chunked: bool):
        step = 1 if kind == "slow-body" else CHUNK
        end = 10 if kind == "half" else size
        offset = 0
        while offset < end:
            piece = pattern(offset, min(step, end - offset))
            self.write_piece(writer, piece, chunked)
            await writer.drain()
            offset += len(piece)
            if kind == "slow-body":
                await asyncio.sleep(0.05)
        if kind != "half":
            self.write_end(writer, chunked)
            await writer.drain()

    @staticmethod
    def write_piece(writer, data: bytes, chunked: bool):
        writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked and data else data)

    @staticmethod
    def write_end(writer, chunked: bool):
        if chunked:
            writer.write(b"0\r\n\r\n")


class TcpEcho(asyncio.Protocol):
    """Lines come back with the name of the backend and the port that it sees, so that a client can tell a change of either."""

    def __init__(self, name: str):
        self.name = name
        self.pending = b""

    def connection_made(self, transport):
        self.transport = transport
        self.peer = transport.get_extra_info("peername")
        transport.write(f"{self.name} {self.peer[0]} {self.peer[1]}\n".encode())

    def data_received(self, data: bytes):
        *lines, self.pending = (self.pending + data).split(b"\n")
        prefix = f"{self.name} {self.peer[1]} ".encode()
        self.transport.write(b"".join(prefix + line + b"\n" for line in lines))


class UdpEcho(asyncio.DatagramProtocol):
    def __init__(self, name: str):
        self.name = name

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data: bytes, peer):
        self.transport.sendto(f"{self.name} {peer[0].removeprefix('::ffff:')} {peer[1]} ".encode() + data, peer)


def bound(family, kind, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == socket.SOCK_DGRAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    return sock


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--http", type=int)
    parser.add_argument("--echo", type=int)
    arguments = parser.parse_args()
    origin = Origin(arguments.name)
    loop = asyncio.get_running_loop()
    for family in (socket.AF_INET, socket.AF_INET6):
        if arguments.http:
            await asyncio.start_server(origin.serve, sock=bound(family, socket.SOCK_STREAM, arguments.http), backlog=8192,
                                       limit=256 << 10)
        if arguments.echo:
            await loop.create_server(lambda: TcpEcho(arguments.name), sock=bound(family, socket.SOCK_STREAM, arguments.echo),
                                     backlog=8192)
            await loop.create_datagram_endpoint(lambda: UdpEcho(arguments.name), sock=bound(family, socket.SOCK_DGRAM, arguments.echo))
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
