"""HTTP/1.1 as clients use it and as attackers do. Plain HTTP, where not TLS but the parser is the point."""
import hashlib
import time

import pytest

import world
from client import Closed
from sluicelab.lab import BACKENDS, CLIENT4, CLIENT6, INSIDE4


def test_keep_alive(connect, sluice):
    connection = connect()
    assert [connection.get("/hello").status for _ in range(50)] == [200] * 50


def test_pipelined_requests_are_answered_in_order(connect, sluice):
    connection = connect()
    paths = ["/a?delay=0.2", "/static/hello.txt", "/b", "/cache/x?h=Cache-Control:max-age%3D60", "/missing?status=404", "/c"]
    connection.send(b"".join(f"GET {path} HTTP/1.1\r\nHost: {world.HOST}\r\n\r\n".encode() for path in paths))
    answers = [connection.response() for _ in paths]
    assert [answer.status for answer in answers] == [200, 200, 200, 200, 404, 200]
    for path, answer in zip(paths, answers):
        text = answer.text()
        assert path.split("?")[0] in text or text == "hello from a file\n"


def test_a_request_byte_by_byte(connect, sluice):
    connection = connect()
    for byte in f"GET /hello HTTP/1.1\r\nHost: {world.HOST}\r\n\r\n".encode():
        connection.send(bytes([byte]))
    assert connection.response().status == 200


def test_http10_is_closed_after_the_answer(connect, sluice):
    connection = connect()
    connection.send(b"GET /hello HTTP/1.0\r\n\r\n")
    assert connection.response().status == 200
    assert connection.is_closed()


def test_connection_close_is_obeyed(connect, sluice):
    connection = connect()
    answer = connection.get("/hello", headers={"Connection": "close"})
    assert answer.status == 200 and answer.get("Connection").lower() == "close"
    assert connection.is_closed()


def test_head_has_no_body(connect, sluice):
    connection = connect()
    for path in ("/bytes/1000", "/static/hello.txt"):
        answer = connection.get(path, method="HEAD")
        assert answer.status == 200 and int(answer.get("Content-Length")) > 0
    assert connection.get("/hello").status == 200


def test_request_bodies(connect, sluice):
    connection = connect()
    body = b"0123456789" * 30_000
    assert connection.get("/sha256", method="POST", body=body).text() == hashlib.sha256(body).hexdigest()
    connection.send(b"POST /sha256 HTTP/1.1\r\nHost: x.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nTrailer: x\r\n\r\n")
    assert connection.response().text() == hashlib.sha256(b"hello world").hexdigest()
    assert connection.get("/sha256", method="PUT").text() == hashlib.sha256(b"").hexdigest()


def test_expect_continue(connect, sluice):
    connection = connect()
    connection.request("/sha256", method="POST", headers={"Expect": "100-continue", "Content-Length": "5"})
    assert connection._until(b"\r\n\r\n").startswith(b"HTTP/1.1 100")
    connection.send(b"hello")
    assert connection.response().text() == hashlib.sha256(b"hello").hexdigest()


@pytest.mark.parametrize("query", ["chunked=1&size=200000", "size=200000", "close=1&size=1000", "status=204", "1xx=1&size=10"])
def test_kinds_of_answers(connect, sluice, query):
    connection = connect()
    answer = connection.get(f"/kind?{query}")
    assert answer.status == (204 if "204" in query else 200)
    if "size=" in query:
        assert len(answer.body) == int(query.split("size=")[1].split("&")[0])
    assert connection.get("/hello").status == 200, "the client's connection outlives the backend's"


def test_a_backend_that_breaks_its_answer(connect, sluice):
    connection = connect()
    with pytest.raises((Closed, AssertionError)):
        answer = connection.get("/half")
        assert len(answer.body) == 1000
    for path in ("/drop", "/garbage"):
        answer = connect().get(path)
        assert answer.status == 502, path


def test_a_backend_that_is_silent_is_504(connect, sluice):
    start = time.monotonic()
    assert connect().get("/slow?delay=20").status == 504
    assert 2 < time.monotonic() - start < 8 * world.PATIENCE, "the pool's response timeout is 3 s"


# ---- what the backend is told, and the client ----


def test_forwarded_headers(connect, sluice):
    for tls in (False, True):
        echo = connect(tls=tls).get("/echo", headers={"X-Forwarded-For": "198.51.100.99", "X-Secret": "kept"}).json()
        headers = {name.lower(): value for name, value in echo["headers"]}
        assert headers["x-forwarded-for"].split(", ")[-1] == CLIENT4
        assert headers["x-forwarded-proto"] == ("https" if tls else "http")
        assert headers["x-real-ip"] == CLIENT4
        assert "1.1" in headers["via"]
        assert headers["host"] == world.HOST
        assert headers["x-secret"] == "kept"
        assert echo["peer"][0] == INSIDE4
    echo = connect(world.SITE6).get("/echo").json()
    assert dict((name.lower(), value) for name, value in echo["headers"])["x-real-ip"] == CLIENT6


def test_hop_by_hop_headers_stop_here(connect, sluice):
    echo = connect().get("/echo", headers={"Connection": "X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5", "TE": "gzip",
                                           "Proxy-Connection": "keep-alive", "Upgrade": "foo"}).json()
    names = {name.lower() for name, _ in echo["headers"]}
    assert not names & {"x-hop", "keep-alive", "proxy-connection", "upgrade", "te"}


def test_header_rules_of_a_route(connect, sluice):
    connection = connect()
    echo = connection.get("/api/echo", headers={"X-Secret": "gone", "X-Real-IP": "spoofed"})
    assert echo.status == 200 and echo.get("X-Added") == "yes" and not echo.has("X-Count")
    assert connection.get("/api/x").get("X-Backend") in BACKENDS


def test_routes_by_host_and_path(connect, sluice):
    connection = connect()
    assert connection.get("/", host="shop.example.net").text() == "the other host\n"
    assert connection.get("/", host="SHOP.EXAMPLE.NET:80").text() == "the other host\n"
    assert connection.get("/static/hello.txt", host="shop.example.net").text() == "hello from a file\n"
    answer = connection.get("/moved/x?y=1")
    assert answer.status == 308 and answer.get("Location") == f"https://{world.HOST}/moved/x?y=1"
    assert connection.get("/v6/x").status == 200
    assert connection.get("/apiary").has("X-Count"), "/api/ is no prefix of /apiary"


def test_round_robin_over_backends(connect, sluice):
    connection = connect()
    seen = [connection.get("/hello").get("X-Backend") for _ in range(30)]
    assert all(abs(seen.count(name) - 10) <= 1 for name in BACKENDS), seen


def test_upstream_connections_are_kept(connect, sluice):
    connection = connect()
    ports = {tuple(connection.get("/echo").json()["peer"]) for _ in range(60)}
    assert len(ports) <= 12, "60 requests one after the other need few connections"


# ---- static files ----


def test_static_file(connect, sluice):
    answer = connect().get("/static/hello.txt")
    assert answer.status == 200 and answer.body == b"hello from a file\n"
    assert answer.get("Content-Type").startswith("text/plain")
    assert "max-age=2592000" in answer.get("Cache-Control") and "public" in answer.get("Cache-Control")
    assert answer.get("Expires").endswith("GMT") and answer.get("Last-Modified").endswith("GMT") and answer.get("ETag")


def test_static_conditional(connect, sluice):
    connection = connect()
    first = connection.get("/static/hello.txt")
    assert connection.get("/static/hello.txt", headers={"If-None-Match": first.get("ETag")}).status == 304
    assert connection.get("/static/hello.txt", headers={"If-Modified-Since": first.get("Last-Modified")}).status == 304
    assert connection.get("/static/hello.txt", headers={"If-None-Match": '"other"'}).status == 200


def test_static_index_empty_large_missing(connect, sluice, files):
    connection = connect()
    assert b"the index" in connection.get("/static/").body
    assert b"of sub" in connection.get("/static/sub/").body
    assert connection.get("/static/empty").body == b""
    assert connection.get("/static/large.bin").body == (files / "large.bin").read_bytes()
    assert connection.get("/static/none.txt").status == 404
    assert connection.get("/static/hello.txt", method="POST").status == 405


@pytest.mark.parametrize("path", ["/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/..%2fsecret.txt", "/static/sub/../../secret.txt",
                                  "/static//etc/passwd", "/static/%00"])
def test_static_stays_below_its_folder(connect, sluice, path):
    answer = connect().get(path)
    assert b"not below the folder" not in answer.body and b"root:" not in answer.body
    assert answer.status in {400, 403, 404, 200} and (answer.status != 200 or answer.has("X-Backend"))


# ---- bad requests ----

HOST_LINE = b"Host: www.example.com\r\n"
BAD = {
    "no_host": b"GET / HTTP/1.1\r\n\r\n",
    "two_hosts": b"GET / HTTP/1.1\r\n" + HOST_LINE + b"Host: other.example\r\n\r\n",
    "bad_host": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "obs_fold": b"GET / HTTP/1.1\r\n" + HOST_LINE + b"X-A: b\r\n c\r\n\r\n",
    "space_before_colon": b"GET / HTTP/1.1\r\n" + HOST_LINE + b"X-A : b\r\n\r\n",
    "empty_name": b"GET / HTTP/1.1\r\n" + HOST_LINE + b": b\r\n\r\n",
    "bare_lf": b"GET / HTTP/1.1\nHost: www.example.com\n\n",
    "bare_cr": b"GET / HTTP/1.1\r\n" + HOST_LINE + b"X-A: b\rc\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\n" + HOST_LINE + b"X-A: b\0c\r\n\r\n",
    "two_spaces": b"GET  / HTTP/1.1\r\n" + HOST_LINE + b"\r\n",
    "no_version": b"GET /\r\n\r\n",
    "version_20": b"GET / HTTP/2.0\r\n" + HOST_LINE + b"\r\n",
    "version_09": b"GET / HTTP/0.9\r\n" + HOST_LINE + b"\r\n",
    "bad_method": b"G@T / HTTP/1.1\r\n" + HOST_LINE + b"\r\n",
    "bad_length": b"POST / HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 5x\r\n\r\nhello",
    "negative_length": b"POST / HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: -5\r\n\r\nhello",
    "two_lengths": b"POST / HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length_and_chunked": b"POST / HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked_not_last": b"POST / HTTP/1.1\r\n" + HOST_LINE + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked_in_10": b"POST / HTTP/1.0\r\n" + HOST_LINE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad_chunk_size": b"POST /sha256 HTTP/1.1\r\n" + HOST_LINE + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "not_http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", BAD.values(), ids=BAD.keys())
def test_bad_request_is_400_and_closed(connect, sluice, request_bytes):
    connection = connect()
    connection.send(request_bytes)
    assert connection.response().status == 400
    assert connection.is_closed()


def test_smuggled_request_is_not_answered(connect, sluice):
    """What follows a request whose length is in doubt is never taken for a request."""
    connection = connect()
    connection.send(BAD["length_and_chunked"] + b"GET /smuggled HTTP/1.1\r\n" + HOST_LINE + b"\r\n")
    assert connection.response().status == 400
    assert connection.is_closed()


@pytest.mark.parametrize("status, request_bytes", [
    (431, b"GET / HTTP/1.1\r\n" + HOST_LINE + b"X-Long: " + b"x" * 10_000 + b"\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\n" + HOST_LINE + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n"),
    (414, b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\n" + HOST_LINE + b"\r\n"),
    (413, b"POST / HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 300000000\r\n\r\n"),
], ids=["long_header", "many_headers", "long_uri", "long_body"])
def test_limits(connect, sluice, status, request_bytes):
    connection = connect()
    connection.send(request_bytes)
    answer = connection.response()
    assert answer.status == status
    assert connection.is_closed()


def test_slow_header_is_408(connect, sluice):
    connection = connect()
    connection.send(b"GET / HTTP/1.1\r\nHost:")
    start = time.monotonic()
    assert connection.response().status == 408
    assert 0.5 < time.monotonic() - start < 4 * world.PATIENCE, "header_timeout is 1 s"
    assert connection.is_closed()


def test_slow_body_is_408(connect, sluice):
    connection = connect()
    connection.send(b"POST /sha256 HTTP/1.1\r\n" + HOST_LINE + b"Content-Length: 100\r\n\r\nhello")
    assert connection.response().status == 408
    assert connection.is_closed()


def test_idle_connection_is_closed(connect, sluice):
    connection = connect()
    assert connection.get("/hello").status == 200
    start = time.monotonic()
    assert connection.is_closed(within=12)
    assert time.monotonic() - start > 3, "idle_timeout is 5 s"


def test_bad_requests_harm_nobody_else(connect, sluice):
    good = connect()
    assert good.get("/hello").status == 200
    for request_bytes in BAD.values():
        connect().send(request_bytes)
    assert good.get("/hello").status == 200
