"""Layer 4: real connections and datagrams through `nat`."""
import collections
import socket

import pytest

import client
import world
from sluicelab.lab import BACKENDS, INSIDE4, INSIDE6, wait_for

CONNECTIONS = 10_000


@pytest.fixture(scope="module")
def sluice(start_sluice, origins):
    origins.restore()
    with start_sluice(world.layer4_config(weights={"backend1": 3, "backend2": 3, "backend3": 4})) as running:
        running.wait_until_up("backend1", "backend2", "backend3")
        yield running


def udp_ask(lab, address: str, port: int, payload: bytes, sock=None) -> str:
    """Sends a datagram until an answer comes (UDP may lose one), at most five times."""
    own = sock or lab.make_socket("client", socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        own.settimeout(1.0 * world.PATIENCE)
        for _ in range(5):
            own.sendto(payload, (address, port))
            try:
                return own.recv(65536).decode()
            except TimeoutError:
                continue
        raise AssertionError(f"no answer from {address}:{port}/udp")
    finally:
        if sock is None:
            own.close()


@pytest.mark.parametrize("address, nat_source", [(world.L4_4, INSIDE4), (world.L4_6, INSIDE6)], ids=["ipv4", "ipv6"])
def test_tcp_reaches_a_backend_and_comes_from_sluice(lab, sluice, address, nat_source):
    with lab.connect("client", address, world.ECHO_PORT) as connection:
        name, peer, port = connection.recv(200).decode().split()
        assert name in BACKENDS
        assert peer == nat_source, "the backend sees an address that is not sluice's"
        connection.sendall(b"hello\n")
        assert connection.recv(200).decode() == f"{name} {port} hello\n"


@pytest.mark.parametrize("address, nat_source", [(world.L4_4, INSIDE4), (world.L4_6, INSIDE6)], ids=["ipv4", "ipv6"])
def test_udp_keeps_backend_and_port(lab, sluice, address, nat_source):
    sock = lab.make_socket("client", socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        answers = {tuple(udp_ask(lab, address, world.ECHO_PORT, b"x", sock).split()[:3]) for _ in range(20)}
    assert len(answers) == 1, f"one flow was seen as {answers}"
    name, peer, _ = answers.pop()
    assert name in BACKENDS and peer == nat_source


def test_large_datagrams_and_segments_arrive_whole(lab, sluice):
    text = bytes(range(33, 127)) * 15  # 1410 bytes
    assert udp_ask(lab, world.L4_4, world.ECHO_PORT, text).encode().endswith(b" " + text)
    with lab.connect("client", world.L4_4, world.ECHO_PORT) as connection:
        reader = connection.makefile("rb")
        prefix = reader.readline().split()
        line = b"y" * 200_000
        connection.sendall(line + b"\n")
        assert reader.readline() == b"%b %b %b\n" % (prefix[0], prefix[2], line)


def test_short_connections_are_spread_by_weight(lab, sluice):
    before = {row["backend"]: row["opened"] for row in sluice.ctl("backends") if row["pool"] == "echo4"}
    seen = client.echo_many(lab, world.L4_4, world.ECHO_PORT, CONNECTIONS)
    failures = collections.Counter(one.failure for one in seen if one.failure)
    assert not failures and len(seen) == CONNECTIONS
    by = collections.Counter(one.backend for one in seen)
    for name, share in (("backend1", 0.3), ("backend2", 0.3), ("backend3", 0.4)):
        assert abs(by[name] - share * CONNECTIONS) <= 0.05 * share * CONNECTIONS, f"{by}: not as the weights say"
    after = {row["backend"]: row["opened"] for row in sluice.ctl("backends") if row["pool"] == "echo4"}
    # Health checks connect to the backends too, but are not flows.
    assert {name: after[name] - before[name] for name in BACKENDS} == dict(by)


def test_flows_are_forgotten_after_they_end(lab, sluice):
    client.echo_many(lab, world.L4_4, world.ECHO_PORT, 200)

    def none_left():
        status = sluice.ctl("status")
        return sum(worker["flows"] for worker in status["workers"]) == 0

    wait_for(none_left, "the flow tables are empty", 20)
    assert sum(worker["nat_ports_used"] for worker in sluice.ctl("status")["workers"]) == 0
    assert sluice.ctl("flows")["flows"] == []


def test_no_backend_is_told_at_once(lab, sluice):
    with pytest.raises(ConnectionRefusedError):
        lab.connect("client", world.L4_4, 9, timeout=3)
    sock = lab.make_socket("client", kind=socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(3)
        sock.connect((world.L4_4, 9))
        sock.send(b"x")
        with pytest.raises(ConnectionRefusedError):  # ICMP port unreachable
            sock.recv(100)
    assert "no_backend" in " ".join(sluice.drops())


@pytest.mark.parametrize("address", ["192.0.2.2", "2001:db8:1::2"], ids=["ipv4", "ipv6"])
def test_own_addresses_answer_ping(lab, sluice, address):
    result = lab.run("client", "ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", address)
    assert " 0% packet loss" in result.stdout


def test_backends_reach_sluice_and_its_arp_answers(lab, sluice):
    lab.run("backend1", "ip", "neigh", "flush", "all")
    for address in (INSIDE4, INSIDE6):
        assert " 0% packet loss" in lab.run("backend1", "ping", "-n", "-c", "2", "-i", "0.2", "-W", "2", address).stdout


def test_traceroute_sees_sluice(lab, sluice):
    """A TTL of 1 ends at sluice: counted, and told to the sender where it asks for it."""
    before = sum(sluice.drops().values())
    lab.run("client", "ping", "-n", "-c", "1", "-W", "1", "-t", "1", world.L4_4, check=False)
    sock = lab.make_socket("client")
    with sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        sock.settimeout(1)
        with pytest.raises(OSError):
            sock.connect((world.L4_4, world.ECHO_PORT))
    assert sum(sluice.drops().values()) > before


def test_malformed_packets_are_counted(lab, sluice):
    """What a person on the wire can send; the fields are right up to the one that is wrong."""
    before = sluice.drops()
    lab.run("client", "/usr/bin/python3", "-B", "-c", """
from scapy.all import Ether, IP, TCP, UDP, Raw, sendp, getmacbyip, conf
conf.verb = 0
# With a source: scapy leaves it zero where it knows no network layer, and a bridge takes no frame from 00:00:00:00:00:00.
to = Ether(dst="02:00:c0:00:02:02", src="02:00:c0:00:02:01")
web = "203.0.113.80"
packets = [
    to / IP(dst=web, ihl=3) / TCP(dport=7000),
    to / IP(dst=web, len=10000) / TCP(dport=7000),
    to / IP(dst=web, chksum=0x1234) / TCP(dport=7000, flags="S"),
    to / IP(dst=web) / TCP(dport=7000, dataofs=2),
    to / IP(dst=web) / UDP(dport=7000, len=4),
    to / IP(dst=web) / TCP(dport=81, flags="S"),
    to / IP(dst=web, proto=200) / Raw(b"x" * 40),
    Ether(dst=to.dst, src=to.src, type=0x88b5),
    Ether(dst=to.dst, src=to.src, type=0x88b5) / Raw(b"x" * 40),
    Ether(dst=to.dst, src=to.src, type=0x1234) / IP(dst=web) / TCP(dport=7000),
]
sendp(packets, iface="eth0")
""")

    expected = {"bad_ip_header": 1, "ip_truncated": 1, "bad_ip_checksum": 1, "bad_l4_header": 2, "port_closed": 1, "protocol_unknown": 1,
                "ether_type_unknown": 3}

    def counted():
        after = sluice.drops()
        return all(after.get(reason, 0) - before.get(reason, 0) >= packets for reason, packets in expected.items())

    wait_for(counted, f"of {expected} some were not counted", 5)


def test_flows_are_shown(lab, sluice):
    with lab.connect("client", world.L4_4, world.ECHO_PORT) as connection:
        name, _, port = connection.recv(200).decode().split()
        local = connection.getsockname()
        flows = sluice.ctl("flows", "--client", local[0])["flows"]
        row = next(row for row in flows if row["client"] == f"{local[0]}:{local[1]}")
        assert row["service"] == "echo4" and row["backend"] == name and row["nat"].endswith(f":{port}")
