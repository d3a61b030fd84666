"""TLS, load, and large bodies."""
import hashlib
import re
import socket
import ssl

import pytest

import client
import world
from sluicelab.lab import wait_for

REQUESTS = 100_000

pytestmark = pytest.mark.usefixtures("sluice")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls12", "tls13"])
@pytest.mark.parametrize("address", [world.SITE4, world.SITE6], ids=["ipv4", "ipv6"])
def test_versions(connect, certs, address, version):
    connection = connect(address, tls=True, context=certs.context(minimum_version=version, maximum_version=version))
    assert connection.socket.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert connection.get("/hello").status == 200
    assert connection.get("/static/hello.txt").body == b"hello from a file\n"


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_cipher_suites_of_tls12(connect, certs, cipher):
    context = certs.context(maximum_version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(cipher)
    connection = connect(tls=True, context=context)
    assert connection.socket.cipher()[0] == cipher
    assert hashlib.sha256(connection.get("/bytes/300000").body).hexdigest() == DIGEST_300K


DIGEST_300K = hashlib.sha256(b"".join(b"%015x\n" % number for number in range(300000 // 16))).hexdigest()


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_cipher_suites_of_tls13(lab, sluice, certs, suite):
    result = lab.run("client", "curl", "-sS", "--cacert", certs.authority, "--tls13-ciphers", suite, "--tlsv1.3", "--connect-to",
                     f"{world.HOST}:443:{world.SITE4}:443", f"https://{world.HOST}/bytes/300000", text=False)
    assert hashlib.sha256(result.stdout).hexdigest() == DIGEST_300K


def test_old_versions_are_refused(connect, certs):
    context = certs.context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(tls=True, context=context)


@pytest.mark.parametrize("name, expected", [
    (world.HOST, world.HOST), ("img.cdn.example.com", world.HOST), ("shop.example.net", "*.example.net"),
    ("WWW.EXAMPLE.COM", world.HOST)])
def test_certificate_by_name(connect, name, expected):
    connection = connect(tls=True, sni=name)
    subject = dict(pair[0] for pair in connection.socket.getpeercert()["subject"])
    assert subject["commonName"] == expected


def test_unknown_name_gets_the_first_certificate(connect, certs):
    context = certs.context()
    context.check_hostname = False
    connection = connect(tls=True, context=context, sni="unknown.example.org")
    assert dict(pair[0] for pair in connection.socket.getpeercert()["subject"])["commonName"] == world.HOST


def test_alpn(connect, certs):
    context = certs.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    assert connect(tls=True, context=context).socket.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls12", "tls13"])
def test_resumption(connect, certs, version):
    context = certs.context(minimum_version=version, maximum_version=version)
    first = connect(tls=True, context=context)
    assert first.get("/hello").status == 200  # in TLS 1.3 the ticket comes after the handshake
    assert not first.socket.session_reused
    again = connect(tls=True, context=context, session=first.socket.session)
    assert again.socket.session_reused
    assert again.get("/hello").status == 200


def test_close_notify_ends_a_connection_in_order(connect):
    connection = connect(tls=True)
    answer = connection.get("/hello", headers={"Connection": "close"})
    assert answer.status == 200
    assert connection.socket.recv(1) == b"", "the end of the stream is marked by close_notify, not by RST"


def test_garbage_instead_of_a_handshake(lab, sluice):
    with client.Connection(lab, world.SITE4, 443) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            while connection.socket.recv(1000):
                pass  # an alert may come first
        except ConnectionError:
            pass


def test_requests_under_load(lab, sluice, certs, www):
    """100,000 requests over 100 connections, none failed."""
    before = sluice.ctl("status")
    result = lab.run("client", "h2load", "--h1", "-n", REQUESTS, "-c", "100", "-t", "1", "--connect-to", f"{world.SITE4}:443",
                     f"https://{world.HOST}/cached/1k.bin", timeout=240 * world.PATIENCE)
    counts = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout",
                       result.stdout)
    assert counts, result.stdout
    total, done, succeeded, failed, errored, timeout = map(int, counts.groups())
    assert (total, done, succeeded, failed, errored, timeout) == (REQUESTS, REQUESTS, REQUESTS, 0, 0, 0), result.stdout
    assert f"{REQUESTS} 2xx" in result.stdout
    after = sluice.ctl("status")
    requests = sum(proxy["requests"] for proxy in after["proxies"]) - sum(proxy["requests"] for proxy in before["proxies"])
    hits = sum(proxy["cache"]["hits"] for proxy in after["proxies"]) - sum(proxy["cache"]["hits"] for proxy in before["proxies"])
    assert requests == REQUESTS
    assert hits >= REQUESTS - 200


def test_proxied_requests_under_load(lab, sluice, certs, www):
    result = lab.run("client", "h2load", "--h1", "-n", "20000", "-c", "50", "-t", "1", "--connect-to", f"{world.SITE4}:443",
                     f"https://{world.HOST}/1k.bin", timeout=240 * world.PATIENCE)
    assert "20000 succeeded, 0 failed, 0 errored, 0 timeout" in result.stdout, result.stdout
    assert "20000 2xx" in result.stdout
    assert all(proxy["upstream"]["connections"] <= 150 for proxy in sluice.ctl("status")["proxies"])


def test_handshakes_under_load(lab, sluice):
    """A new connection, and so a handshake, for each request."""
    result = lab.run("client", "ab", "-q", "-n", "2000", "-c", "20", f"https://{world.SITE4}/static/hello.txt",
                     timeout=120 * world.PATIENCE)
    assert re.search(r"Complete requests:\s+2000\b", result.stdout), result.stdout
    assert re.search(r"Failed requests:\s+0\b", result.stdout), result.stdout
    assert "Non-2xx" not in result.stdout


@pytest.fixture(params=[0, 1], ids=["no_loss", "loss_of_1_percent"])
def loss(request, lab):
    lab.loss(request.param)
    yield request.param
    lab.loss(0)


def test_large_download(lab, sluice, certs, www, folder, loss):
    target = folder / "downloaded"
    lab.run("client", "curl", "-sS", "--fail", "--cacert", certs.authority, "--connect-to", f"{world.HOST}:443:{world.SITE4}:443",
            "-o", target, f"https://{world.HOST}/100m.bin", timeout=300 * world.PATIENCE)
    assert sha256(target) == sha256(www / "100m.bin")
    target.unlink()


def test_large_upload(lab, sluice, certs, www, folder, loss):
    result = lab.run("client", "curl", "-sS", "--fail", "--cacert", certs.authority, "--connect-to",
                     f"{world.HOST}:443:{world.SITE4}:443", "-T", www / "100m.bin", f"https://{world.HOST}/sha256",
                     timeout=300 * world.PATIENCE)
    assert result.stdout == sha256(www / "100m.bin")


def sha256(path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_nothing_is_left_after_the_load(lab, sluice):
    """Connections end, buffers go back. (Idle connections to backends stay for a while: that is keep-alive.)"""
    def at_rest():
        status = sluice.ctl("status")
        return all(proxy["connections"] == 0 for proxy in status["proxies"])

    wait_for(at_rest, f"no client connections: {sluice.ctl('status')}", 15 * world.PATIENCE)
    assert all(row["active"] == 0 for row in sluice.ctl("services") if row["service"] in {"site", "plain"})


def test_a_slow_reader_costs_no_more_than_its_buffer(lab, connect, sluice):
    """A client that does not read: sluice stops reading from the backend, and holds a bounded amount."""
    connection = connect(tls=True)
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    connection.request("/100m.bin")
    other = connect(tls=True)
    for _ in range(50):
        assert other.get("/hello").status == 200
    assert connection.response().status == 200
