"""Pings that are forwarded, services on every port and on a prefix: with Linux as client and as backend."""
import socket
import struct

import pytest

import world
from sluicelab.lab import BACKENDS, INSIDE4, INSIDE6

ANY4, ANY6 = "203.0.113.96", "2001:db8:2::96"  # every port
IN_PREFIX4, IN_PREFIX6 = ["203.0.113.112", "203.0.113.127"], ["2001:db8:2:0:1::", "2001:db8:2:0:1:ffff:ffff:ffff"]


def without_ports(pool: dict) -> dict:
    backends = [{key: value for key, value in backend.items() if key != "port"} for backend in pool["backends"]]
    return {**pool, "backends": backends, "health": {**pool["health"], "port": world.ECHO_PORT}}


@pytest.fixture(scope="module")
def sluice(start_sluice, origins):
    origins.restore()
    config = world.layer4_config()
    for service in ("echo4", "echo6"):
        config["services"][service]["forward"]["icmp"] = "forward"
    for family, one, prefix in (("4", ANY4, "203.0.113.112/28"), ("6", f"[{ANY6}]", "2001:db8:2:0:1::/80")):
        config["pools"]["any" + family] = without_ports(config["pools"]["echo" + family])
        config["services"]["any" + family] = {
            "listen": [f"{one}:*/tcp", f"{one}:*/udp", f"{prefix}:{world.ECHO_PORT}/tcp"],
            "forward": {"mode": "nat", "pool": "any" + family, "timeouts": world.SHORT_FLOWS}}
    with start_sluice(config) as running:
        running.wait_until_up(*BACKENDS)
        yield running


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ping(lab, address: str, identifier: int, sequence: int) -> int:
    """The TTL or hop limit of the answer to one echo request; asks again if none comes."""
    v6 = ":" in address
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    rest = struct.pack("!HH", identifier, sequence) + b"some data "
    request = bytes([128, 0, 0, 0]) + rest if v6 else b"\x08\x00" + struct.pack("!H", checksum(b"\x08\x00\x00\x00" + rest)) + rest
    with lab.inside("client"):
        own = socket.socket(family, socket.SOCK_RAW, protocol)
    with own:
        if v6:
            own.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        own.settimeout(1.0 * world.PATIENCE)
        for _ in range(5):
            own.sendto(request, (address, 0))
            try:
                while True:
                    data, control, _, peer = own.recvmsg(2000, 200)
                    message = data if v6 else data[(data[0] & 15) * 4:]
                    if peer[0] == address and message[0] == (129 if v6 else 0) and message[4:] == rest:
                        return struct.unpack("i", control[0][2])[0] if v6 else data[8]
            except TimeoutError:
                continue
    raise AssertionError(f"no echo from {address}")


@pytest.mark.parametrize("address", [world.L4_4, world.L4_6], ids=["ipv4", "ipv6"])
def test_a_backend_answers_pings(lab, sluice, address):
    before = sluice.ctl("status")["workers"][0]["icmp_echo"]
    for identifier in (1, 2, 77):
        for sequence in (1, 2):
            assert ping(lab, address, identifier, sequence) == 63, "sluice is a hop on the way to the backend and back"
    assert sluice.ctl("status")["workers"][0]["icmp_echo"] == before, "sluice has answered by itself"


@pytest.mark.parametrize("address", [ANY4, ANY6], ids=["ipv4", "ipv6"])
def test_sluice_answers_pings_of_other_services(lab, sluice, address):
    assert ping(lab, address, 5, 1) == 64


@pytest.mark.parametrize("address, nat_source", [(ANY4, INSIDE4), (ANY6, INSIDE6)], ids=["ipv4", "ipv6"])
def test_every_port_reaches_the_same_port_of_a_backend(lab, sluice, address, nat_source):
    with lab.connect("client", address, world.ECHO_PORT) as connection:
        name, peer, _ = connection.recv(200).decode().split()
    assert name in BACKENDS and peer == nat_source
    with lab.connect("client", address, world.HTTP_PORT) as connection:
        connection.sendall(b"GET /echo HTTP/1.0\r\nHost: x\r\n\r\n")
        assert connection.recv(2000).startswith(b"HTTP/1.")
    with pytest.raises(ConnectionRefusedError):  # by the backend: nobody listens there
        lab.connect("client", address, 7999)


@pytest.mark.parametrize("addresses", [IN_PREFIX4, IN_PREFIX6], ids=["ipv4", "ipv6"])
def test_every_address_of_a_prefix(lab, sluice, addresses):
    for address in addresses:
        with lab.connect("client", address, world.ECHO_PORT) as connection:
            assert connection.recv(200).decode().split()[0] in BACKENDS
            connection.sendall(b"hello\n")
            assert connection.recv(200).decode().endswith("hello\n")
        with pytest.raises(ConnectionRefusedError):
            lab.connect("client", address, 7999)
