"""Modes whose backends answer their clients past sluice: dsr and vxlan with the kernel as the other end, ipip, gre and gue with
decapsulate.py. Backends and the client have a link of their own for the answers."""
import contextlib
import pathlib
import socket
import subprocess
import sys

import pytest

import client
import world
from sluicelab.lab import BACKEND4, BACKEND6, BACKENDS, CLIENT4, CLIENT6, wait_for
from test_fragments import IP_MTU_DISCOVER, IP_PMTUDISC_DONT, counted

HERE = pathlib.Path(__file__).resolve().parent
SERVICES = {"ipv4": world.L4_4, "ipv6": world.L4_6}
CLIENTS = {"ipv4": CLIENT4, "ipv6": CLIENT6}
BYTES = 1_000_000
SINK_PORT = 7100
VXLAN_MAC = "02:00:00:00:00:64"

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

# Name: keys of `forward`, bytes that the tunnel adds, and the addresses of the backends.
MODES = {
    "dsr": ({"mode": "dsr"}, 0, None),
    "vxlan": ({"mode": "vxlan", "vxlan": {"vni": 100}}, 50, BACKEND4),
    "vxlan6": ({"mode": "vxlan", "vxlan": {"vni": 100}}, 70, BACKEND6),
    "ipip": ({"mode": "ipip", "outer": {"source": "172.16.0.0/16"}}, 20, BACKEND4),
    "ipip6": ({"mode": "ipip"}, 40, BACKEND6),
    "gre": ({"mode": "gre"}, 24, BACKEND4),
    "gre6": ({"mode": "gre"}, 44, BACKEND6),
    "gue": ({"mode": "gue"}, 28, BACKEND4),
    "gue6": ({"mode": "gue"}, 48, BACKEND6),
    "gue0": ({"mode": "gue", "gue": {"variant": 0}}, 32, BACKEND4),
}


def mac_of(lab, name: str, device: str) -> str:
    return lab.run(name, "cat", f"/sys/class/net/{device}/address").stdout.strip()


@contextlib.contextmanager
def answers_past_sluice(lab):
    """Each backend has the services' addresses, and a link to the client."""
    for name in BACKENDS:
        here = lab.prefix + name
        subprocess.run(["ip", "link", "add", f"to-{name}", "netns", lab.prefix + "client", "type", "veth", "peer", "name", "direct",
                        "netns", here], check=True)
        for end, device in (("client", f"to-{name}"), (name, "direct")):
            lab.run(end, "ethtool", "-K", device, "tx", "off", "gso", "off", "tso", "off", "gro", "off")
            lab.run(end, "sysctl", "-q", "-w", "net.ipv4.conf.all.rp_filter=0", f"net.ipv4.conf.{device}.rp_filter=0")
            lab.run(end, "ip", "link", "set", device, "up")
        lab.run(name, "sysctl", "-q", "-w", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
        mac = mac_of(lab, "client", f"to-{name}")
        for own in CLIENTS.values():
            lab.run(name, "ip", "neighbor", "add", own, "lladdr", mac, "dev", "direct")
            lab.run(name, "ip", "route", "add", own, "dev", "direct")
        for address in SERVICES.values():
            lab.run(name, "ip", "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
    try:
        yield
    finally:
        for name in BACKENDS:
            lab.run(name, "ip", "link", "del", "direct")
            lab.run(name, "sysctl", "-q", "-w", "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.all.arp_announce=0")
            for address in SERVICES.values():
                lab.run(name, "ip", "address", "del", f"{address}/{128 if ':' in address else 32}", "dev", "lo")


@contextlib.contextmanager
def tunnel_ends(lab, mode: str):
    """What takes the packets out of the tunnel, on each backend."""
    kind = mode.removesuffix("6")
    running = []
    try:
        for name in BACKENDS:
            if kind == "dsr":
                continue
            if kind == "vxlan":
                local = (BACKEND6 if mode.endswith("6") else BACKEND4)[name]
                options = ["udp6zerocsumrx"] if ":" in local else []
                lab.run(name, "ip", "link", "add", "tunnel", "address", VXLAN_MAC, "type", "vxlan", "id", "100", "local", local,
                        "dstport", "4789", "nolearning", *options)
            else:
                end = lab.start(name, sys.executable, "-B", HERE / "decapsulate.py", kind, "tunnel", stdout=subprocess.PIPE, text=True)
                running.append(end)
                assert end.stdout.readline() == "ready\n"
            lab.run(name, "sysctl", "-q", "-w", "net.ipv4.conf.tunnel.rp_filter=0")
            lab.run(name, "ip", "link", "set", "tunnel", "up")
        yield
    finally:
        for end in running:
            end.kill()
            end.wait()
        if kind == "vxlan":
            for name in BACKENDS:
                lab.run(name, "ip", "link", "del", "tunnel")


def config(mode: str) -> dict:
    forward, _, addresses = MODES[mode]
    base = world.layer4_config()
    check = {**world.TCP_CHECK, "port": world.ECHO_PORT}
    base["pools"], base["services"] = {}, {}
    for family, address in SERVICES.items():
        towards = addresses or (BACKEND4 if family == "ipv4" else BACKEND6)  # dsr: of the family of the service
        pool = "web" if addresses else f"web-{family}"
        base["pools"][pool] = {"backends": [{"name": name, "address": towards[name]} for name in BACKENDS], "health": check}
        host = f"[{address}]" if ":" in address else address
        base["services"][f"web-{family}"] = {
            "listen": [f"{host}:{port}/tcp" for port in (world.ECHO_PORT, world.HTTP_PORT, SINK_PORT)],
            "forward": {"pool": pool, "timeouts": world.SHORT_FLOWS, **forward}}
    return base


@pytest.fixture(scope="module")
def direct(lab, origins):
    origins.restore()
    with answers_past_sluice(lab):
        for name in BACKENDS:
            lab.start(name, sys.executable, "-B", "-c", SINK, SINK_PORT)
            wait_for(lambda: lab.answers(name, "127.0.0.1", SINK_PORT), "the sink")
        yield


@pytest.fixture(scope="module", params=list(MODES))
def balancer(request, lab, direct, start_sluice):
    with tunnel_ends(lab, request.param), start_sluice(config(request.param)) as running:
        running.wait_until_up("backend1", "backend2", "backend3")
        yield request.param, running
    for family in ("-4", "-6"):
        lab.run("client", "ip", family, "route", "flush", "cache", check=False)


@pytest.fixture
def mode(balancer):
    return balancer[0]


@pytest.mark.parametrize("family", SERVICES)
def test_a_backend_sees_its_client_and_answers(lab, mode, family):
    with lab.connect("client", SERVICES[family], world.ECHO_PORT) as connection:
        name, peer, port = connection.recv(200).decode().split()
        assert name in BACKENDS and peer == CLIENTS[family]
        connection.sendall(b"hello\n")
        assert connection.recv(200).decode() == f"{name} {port} hello\n"


@pytest.mark.parametrize("family", SERVICES)
def test_large_answers_arrive(lab, mode, family):
    with client.Connection(lab, SERVICES[family], world.HTTP_PORT) as connection:
        assert len(connection.get(f"/bytes/{BYTES}").body) == BYTES


@pytest.mark.parametrize("family", SERVICES)
def test_large_requests_learn_what_the_tunnel_leaves(lab, mode, family):
    with lab.connect("client", SERVICES[family], SINK_PORT, timeout=20) as connection:
        connection.sendall(b"x" * BYTES)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b"%d" % BYTES
    added = MODES[mode][1]
    if added:
        assert f"mtu {1500 - added}" in lab.run("client", "ip", "route", "get", SERVICES[family]).stdout


def test_requests_without_df_are_cut(lab, balancer):
    """They go in fragments, which the backend's kernel puts together behind the tunnel."""
    mode, running = balancer
    lab.run("client", "ip", "-4", "route", "flush", "cache", check=False)  # of what another test has learned
    before = counted(running, "packets_cut")
    with lab.connect("client", SERVICES["ipv4"], SINK_PORT, timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        connection.sendall(b"x" * BYTES)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b"%d" % BYTES
    cut = counted(running, "packets_cut") - before
    assert cut >= BYTES // 1500 if MODES[mode][1] else cut == 0


def test_connections_are_spread(lab, mode):
    seen = client.echo_many(lab, world.L4_4, world.ECHO_PORT, 300)
    assert not [one.failure for one in seen if one.failure]
    assert {one.backend for one in seen} == set(BACKENDS)
