"""Path MTU discovery through `nat`, and of the proxy: somewhere behind a router, on either side, a link takes less than the ends send."""
import contextlib
import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import client
import world
from sluicelab.lab import BACKEND4, BACKEND6, INSIDE4, INSIDE6, wait_for

SMALL = 1300  # of the link behind the router; its far end and everything else: 1500
FAMILIES = ["ipv4", "ipv6"]
SINK_PORT = 7100
ORIGIN = Path(__file__).with_name("origin.py")
BYTES = 1_000_000

# Behind the client, and behind backend1: the router's address and the host's.
BEYOND_CLIENT = {"ipv4": ("192.0.2.193", "192.0.2.194", 30), "ipv6": ("2001:db8:9::1", "2001:db8:9::2", 64)}
BEYOND_BACKEND = {"ipv4": ("192.0.2.201", "192.0.2.202", 30), "ipv6": ("2001:db8:a::1", "2001:db8:a::2", 64)}

# Counts what it gets, and says so at the end.
SINK = """
import socket, sys
listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    connection, _ = listener.accept()
    count = 0
    while data := connection.recv(65536):
        count += len(data)
    connection.sendall(b"%d" % count)
    connection.close()
"""


@contextlib.contextmanager
def host_behind(lab, router: str, name: str, addresses: dict):
    """A namespace behind another one, which forwards: what it sends to the new one takes SMALL bytes at most."""
    namespaces = {end: lab.prefix + end for end in (router, name)}

    def at(end: str, *command):
        lab.run(end, *command)

    subprocess.run(["ip", "netns", "add", namespaces[name]], check=True)
    try:
        subprocess.run(["ip", "link", "add", name, "netns", namespaces[router], "mtu", str(SMALL), "type", "veth", "peer", "name",
                        "eth0", "netns", namespaces[name], "mtu", "1500"], check=True)
        for end, device in ((router, name), (name, "eth0")):
            at(end, "ethtool", "-K", device, "tx", "off", "gso", "off", "tso", "off", "gro", "off")
        for setting in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            at(router, "sysctl", "-q", "-w", setting)
        at(name, "sysctl", "-q", "-w", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
        for (own, far, length) in addresses.values():
            at(router, "ip", "address", "add", f"{own}/{length}", "dev", name, *(["nodad"] if ":" in own else []))
            at(name, "ip", "address", "add", f"{far}/{length}", "dev", "eth0", *(["nodad"] if ":" in far else []))
        at(router, "ip", "link", "set", name, "up")
        at(name, "ip", "link", "set", "lo", "up")
        at(name, "ip", "link", "set", "eth0", "up")
        for (own, _, _) in addresses.values():
            at(name, "ip", "route", "add", "default", "via", own)
        yield
    finally:
        subprocess.run(["ip", "netns", "del", namespaces[name]], check=True)
        for setting in ("net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0"):
            at(router, "sysctl", "-q", "-w", setting)
        for end in ("client", "backend1", "backend2", "backend3"):
            for family in ("-4", "-6"):
                lab.run(end, "ip", family, "route", "flush", "cache", check=False)


def errors_passed(sluice) -> int:
    return sum(worker["icmp_errors_passed"] for worker in sluice.ctl("status")["workers"])


def config() -> dict:
    base = world.layer4_config()
    base["pools"] = {name: pool for name, pool in world.pools().items() if name in ("http4", "http6")}
    base["services"] = {}
    base["routes"] = []
    for family, address, pool, router in (("ipv4", world.L4_4, "http4", BACKEND4["backend1"]),
                                          ("ipv6", f"[{world.L4_6}]", "http6", BACKEND6["backend1"])):
        beyond = BEYOND_BACKEND[family]
        base["pools"][f"sink-{family}"] = {"backends": [{"name": "beyond", "address": beyond[1], "port": SINK_PORT}]}
        base["services"][f"web-{family}"] = {"listen": f"{address}:80/tcp", "forward": {"mode": "nat", "pool": pool}}
        base["services"][f"sink-{family}"] = {"listen": f"{address}:{SINK_PORT}/tcp",
                                              "forward": {"mode": "nat", "pool": f"sink-{family}"}}
        base["pools"][f"far-{family}"] = {"backends": [{"name": "beyond", "address": beyond[1], "port": world.HTTP_PORT}]}
        site = world.SITE4 if family == "ipv4" else f"[{world.SITE6}]"
        base["services"][f"site-{family}"] = {"listen": f"{site}:80", "proxy": {
            "routes": [{"match": {"path": "/sha256"}, "pool": f"far-{family}"}, {"pool": pool}], "limits": world.LIMITS}}
        prefix = "192.0.2.200/30" if family == "ipv4" else "2001:db8:a::/64"
        base["routes"].append({"prefix": prefix, "via": router})
    return base


@pytest.fixture(scope="module")
def sluice(lab, start_sluice, origins):
    origins.restore()
    with host_behind(lab, "client", "far", BEYOND_CLIENT), host_behind(lab, "backend1", "beyond", BEYOND_BACKEND):
        lab.start("beyond", sys.executable, "-B", "-c", SINK, SINK_PORT)
        lab.start("beyond", sys.executable, "-B", ORIGIN, "beyond", "--http", world.HTTP_PORT, "--echo", world.ECHO_PORT)
        wait_for(lambda: lab.answers("beyond", "127.0.0.1", SINK_PORT), "the sink")
        wait_for(lambda: lab.answers("beyond", "127.0.0.1", world.HTTP_PORT), "the origin")
        with start_sluice(config()) as running:
            running.wait_until_up("backend1", "backend2", "backend3")
            yield running


@pytest.mark.parametrize("family", FAMILIES)
def test_a_backend_learns_of_a_small_link_towards_the_client(lab, sluice, family):
    before = errors_passed(sluice)
    address = world.L4_4 if family == "ipv4" else world.L4_6
    with client.Connection(lab, address, 80, namespace="far") as connection:
        assert len(connection.get(f"/bytes/{BYTES}").body) == BYTES
    assert errors_passed(sluice) > before
    own = INSIDE4 if family == "ipv4" else INSIDE6
    assert any(f"mtu {SMALL}" in lab.run(name, "ip", "route", "get", own).stdout for name in BACKEND4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_client_learns_of_a_small_link_towards_the_backend(lab, sluice, family):
    before = errors_passed(sluice)
    address = world.L4_4 if family == "ipv4" else world.L4_6
    with lab.connect("client", address, SINK_PORT, timeout=20) as connection:
        connection.sendall(b"x" * BYTES)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b"%d" % BYTES
    assert errors_passed(sluice) > before
    assert f"mtu {SMALL}" in lab.run("client", "ip", "route", "get", address).stdout


def tcp(sluice) -> dict:
    return sluice.ctl("status")["proxies"][0]["tcp"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_proxy_learns_of_a_small_link_towards_the_client(lab, sluice, family):
    before = tcp(sluice)
    address = world.SITE4 if family == "ipv4" else world.SITE6
    with client.Connection(lab, address, 80, namespace="far") as connection:
        assert len(connection.get(f"/bytes/{BYTES}").body) == BYTES
    after = tcp(sluice)
    assert after["path_mtu_lowered"] == before["path_mtu_lowered"] + 1
    assert after["black_holes"] == before["black_holes"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_proxy_learns_of_a_small_link_towards_the_backend(lab, sluice, family):
    before = tcp(sluice)
    address = world.SITE4 if family == "ipv4" else world.SITE6
    body = b"x" * BYTES
    with client.Connection(lab, address, 80) as connection:
        answer = connection.get("/sha256", method="POST", body=body)
    assert answer.body.decode().strip() == hashlib.sha256(body).hexdigest()
    after = tcp(sluice)
    assert after["path_mtu_lowered"] == before["path_mtu_lowered"] + 1
    assert after["black_holes"] == before["black_holes"]
