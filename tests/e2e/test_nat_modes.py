"""`dnat`, and `nat` between IPv4 and IPv6: real clients and backends, curl among them, and a small link on the way."""
import collections
import hashlib
import socket

import pytest

import client
import world
from sluicelab.lab import BACKENDS, CLIENT4, CLIENT6, INSIDE4, INSIDE6
from test_l4 import udp_ask
from test_path_mtu import BEYOND_CLIENT, SMALL, errors_passed, host_behind

# Of each mode: the service's address, the port of its web service and that of its echo, the pools, and whom backends see.
Mode = collections.namedtuple("Mode", "address http echo http_pool echo_pool peer kind")
MODES = {
    "nat64": Mode(world.L4_6, 8064, 7064, "http4", "echo4", INSIDE4, "nat"),
    "nat46": Mode(world.L4_4, 8046, 7046, "http6", "echo6", INSIDE6, "nat"),
    "dnat4": Mode(world.L4_4, 8004, 7004, "http4", "echo4", CLIENT4, "dnat"),
    "dnat6": Mode(world.L4_6, 8006, 7006, "http6", "echo6", CLIENT6, "dnat"),
}
BYTES = 1_000_000


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def config() -> dict:
    base = world.layer4_config()
    base["pools"] = {name: pool for name, pool in world.pools().items() if name in ("http4", "http6", "echo4", "echo6")}
    base["services"] = {}
    for name, mode in MODES.items():
        at = bracketed(mode.address)
        base["services"][f"{name}-web"] = {"listen": f"{at}:{mode.http}/tcp", "forward": {"mode": mode.kind, "pool": mode.http_pool}}
        base["services"][f"{name}-echo"] = {"listen": [f"{at}:{mode.echo}/tcp", f"{at}:{mode.echo}/udp"],
                                            "forward": {"mode": mode.kind, "pool": mode.echo_pool}}
    return base


@pytest.fixture(scope="module")
def sluice(lab, start_sluice, origins):
    """Backends have their default route through sluice, as `dnat` needs it."""
    origins.restore()
    for name in BACKENDS:
        lab.run(name, "ip", "route", "add", "default", "via", INSIDE4)
        lab.run(name, "ip", "-6", "route", "add", "default", "via", INSIDE6)
    try:
        with host_behind(lab, "client", "far", BEYOND_CLIENT), start_sluice(config()) as running:
            running.wait_until_up(*BACKENDS)
            yield running
    finally:
        for name in BACKENDS:
            lab.run(name, "ip", "route", "del", "default", check=False)
            lab.run(name, "ip", "-6", "route", "del", "default", check=False)


@pytest.fixture(params=MODES, scope="module")
def mode(request) -> Mode:
    return MODES[request.param]


def test_curl_gets_a_page(lab, sluice, mode):
    def dropped():  # hosts say something to groups now and then, which is not for us
        return {reason: count for reason, count in sluice.drops().items() if reason != "not_for_us"}

    before = dropped()
    url = f"http://{bracketed(mode.address)}:{mode.http}/bytes/{BYTES}"
    for _ in range(3):
        body = lab.run("client", "curl", "-sS", "--fail", "--noproxy", "*", "--max-time", "20", url, text=False).stdout
        with client.Connection(lab, "127.0.0.1", world.HTTP_PORT, namespace="backend1") as direct:
            assert hashlib.sha256(body).digest() == hashlib.sha256(direct.get(f"/bytes/{BYTES}").body).digest()
    assert dropped() == before


def test_curl_sends_a_large_body(lab, sluice, mode, tmp_path):
    body = bytes(range(256)) * 8192
    (tmp_path / "body").write_bytes(body)
    url = f"http://{bracketed(mode.address)}:{mode.http}/sha256"
    answer = lab.run("client", "curl", "-sS", "--fail", "--noproxy", "*", "--max-time", "20", "--data-binary",
                     f"@{tmp_path}/body", url).stdout
    assert answer.strip() == hashlib.sha256(body).hexdigest()


def test_the_backend_sees_whom_the_mode_says(lab, sluice, mode):
    with lab.connect("client", mode.address, mode.echo) as connection:
        name, peer, port = connection.recv(200).decode().split()
        assert name in BACKENDS and peer == mode.peer
        if mode.kind == "dnat":
            assert int(port) == connection.getsockname()[1]
        connection.sendall(b"hello\n")
        assert connection.recv(200).decode() == f"{name} {port} hello\n"


def test_datagrams_keep_their_backend(lab, sluice, mode):
    sock = lab.make_socket("client", socket.AF_INET6 if ":" in mode.address else socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        answers = {tuple(udp_ask(lab, mode.address, mode.echo, b"x", sock).split()[:3]) for _ in range(10)}
        large = bytes(range(33, 127)) * 15
        assert udp_ask(lab, mode.address, mode.echo, large, sock).encode().endswith(b" " + large)
    assert len(answers) == 1
    name, peer, _ = answers.pop()
    assert name in BACKENDS and peer == mode.peer


def test_many_connections(lab, sluice, mode):
    seen = client.echo_many(lab, mode.address, mode.echo, 500)
    assert not collections.Counter(one.failure for one in seen if one.failure)
    assert len({one.backend for one in seen}) == len(BACKENDS)


def test_an_unused_port_of_the_backend_is_told(lab, sluice, origins, mode):
    """Nothing listens on the backend's echo port any more: its ICMP error reaches the client in the client's family."""
    sock = lab.make_socket("client", socket.AF_INET6 if ":" in mode.address else socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        name = udp_ask(lab, mode.address, mode.echo, b"x", sock).split()[0]
        before = errors_passed(sluice)
        origins.kill(name)
        sock.connect((mode.address, mode.echo))
        sock.settimeout(0.2)
        try:
            with pytest.raises(ConnectionRefusedError):
                for _ in range(25):
                    sock.send(b"x")
                    try:
                        sock.recv(100)
                    except TimeoutError:
                        continue
            assert errors_passed(sluice) > before
        finally:
            origins.restore()
            sluice.wait_until_up(*BACKENDS)


def test_a_backend_learns_of_a_small_link_towards_the_client(lab, sluice, mode):
    before = errors_passed(sluice)
    with client.Connection(lab, mode.address, mode.http, namespace="far") as connection:
        assert len(connection.get(f"/bytes/{BYTES}").body) == BYTES
    assert errors_passed(sluice) > before
    # A backend of IPv4 is told 20 bytes less than a client of IPv6 takes, and the other way.
    towards = {"nat64": (INSIDE4, SMALL - 20), "nat46": (INSIDE6, SMALL + 20)}.get(
        next(name for name, value in MODES.items() if value is mode),
        (BEYOND_CLIENT["ipv6" if ":" in mode.address else "ipv4"][1], SMALL))
    assert any(f"mtu {towards[1]}" in lab.run(name, "ip", "route", "get", towards[0]).stdout for name in BACKENDS)
