"""A client's HTTP connection, byte by byte where a test wants it; and many small connections at once."""
import asyncio
import json
import socket
import ssl
from dataclasses import dataclass, field

from world import HOST, PATIENCE


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def get(self, name: str, default: str = "") -> str:
        """The header's values, joined as RFC 9110 section 5.3 allows."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else default

    def has(self, name: str) -> bool:
        return any(key.lower() == name.lower() for key, _ in self.headers)

    def json(self):
        return json.loads(self.body)

    def text(self) -> str:
        return self.body.decode()


class Closed(Exception):
    """The peer closed (or reset) the connection where an answer was expected."""


class Connection:
    """One connection from a namespace (the client's, unless said otherwise)."""

    def __init__(self, lab, address: str, port: int, context: ssl.SSLContext | None = None, sni: str = HOST,
                 session: ssl.SSLSession | None = None, namespace: str = "client", timeout: float = 10.0):
        self.host = sni
        self.socket = lab.connect(namespace, address, port, timeout * PATIENCE)
        if context:
            try:
                self.socket = context.wrap_socket(self.socket, server_hostname=sni, session=session)
            except BaseException:
                self.socket.close()
                raise
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data: bytes):
        self.socket.sendall(data)

    def request(self, target: str, method: str = "GET", headers: dict | None = None, body: bytes = b"", host: str | None = None):
        """Sends a request, and does not wait."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or self.host}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def get(self, target: str, **options) -> Response:
        """A request and its answer."""
        self.request(target, **options)
        return self.response(options.get("method", "GET"))

    def response(self, method: str = "GET") -> Response:
        """The next final answer; interim ones (1xx) are passed over."""
        while True:
            head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            response = Response(int(head[0].split(" ")[1]),
                                [(line.split(":", 1)[0], line.split(":", 1)[1].strip()) for line in head[1:] if line])
            if response.status >= 200 or response.status == 101:
                break
        if method == "HEAD" or response.status in {204, 304}:
            return response
        if "chunked" in response.get("transfer-encoding").lower():
            response.body = self._chunked()
        elif response.has("content-length"):
            response.body = self._exactly(int(response.get("content-length")))
        else:
            response.body = self._rest()
        return response

    def is_closed(self, within: float = 5.0) -> bool:
        """Whether the peer closes the connection, without another byte, in that time."""
        self.socket.settimeout(within * PATIENCE)
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except (ConnectionError, ssl.SSLError):
            return True

    def _more(self):
        try:
            data = self.socket.recv(64 << 10)
        except (ConnectionError, ssl.SSLError) as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed(f"closed; unread: {self.buffer[:200]!r}")
        self.buffer += data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._more()
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def _exactly(self, size: int) -> bytes:
        pieces, have = [self.buffer], len(self.buffer)
        while have < size:
            self.buffer = b""
            self._more()
            pieces.append(self.buffer)
            have += len(self.buffer)
        whole = b"".join(pieces)
        self.buffer = whole[size:]
        return whole[:size]

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            body += self._exactly(size)
            assert self._until(b"\r\n") == b"", "a chunk is longer than its size says"
        while self._until(b"\r\n"):
            pass
        return body

    def _rest(self) -> bytes:
        try:
            while True:
                self._more()
        except Closed:
            rest, self.buffer = self.buffer, b""
            return rest


# ---- echo (origin.py), many at once ----


class Echoed:
    """What one connection to the echo service saw."""

    def __init__(self):
        self.backend = ""
        self.nat_port = 0
        self.failure = ""


async def echo_once(lab, address: str, port: int, lines: int, timeout: float) -> Echoed:
    """Connects, sends `lines` lines one after the other, and looks that every answer comes from the same backend and NAT port."""
    loop = asyncio.get_running_loop()
    seen = Echoed()
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.setblocking(False)
    try:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(sock, (address, port))
            greeting = (await read_line(loop, sock)).split()
            seen.backend, seen.nat_port = greeting[0], int(greeting[2])
            for number in range(lines):
                await loop.sock_sendall(sock, b"line %d\n" % number)
                backend, nat_port, *rest = (await read_line(loop, sock)).split()
                if (backend, int(nat_port), rest) != (seen.backend, seen.nat_port, ["line", str(number)]):
                    seen.failure = f"line {number} came back as {backend} {nat_port} {rest}"
    except (OSError, TimeoutError, IndexError, ValueError) as error:
        seen.failure = f"{type(error).__name__}: {error}"
    finally:
        sock.close()
    return seen


async def read_line(loop, sock) -> str:
    data = b""
    while not data.endswith(b"\n"):
        piece = await loop.sock_recv(sock, 4096)
        if not piece:
            raise ConnectionError("closed by the peer")
        data += piece
    return data.decode()


def echo_many(lab, address: str, port: int, connections: int, at_once: int = 100, lines: int = 2, timeout: float = 20.0) -> list[Echoed]:
    """Many short connections from the client, at most `at_once` at a time."""
    async def run():
        left = iter(range(connections))
        results = []

        async def one_after_the_other():
            for _ in left:
                results.append(await echo_once(lab, address, port, lines, timeout * PATIENCE))

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
        return results

    with lab.inside("client"):  # the loop's own sockets and ours are made there
        return asyncio.run(run())
