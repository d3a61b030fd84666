"""Fragments that real stacks make and put together, over net_af_xdp (net_af_packet puts them together before sluice sees them)."""
import contextlib
import hashlib
import random
import re
import socket

import pytest

import world
from test_path_mtu import BEYOND_CLIENT, host_behind

IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0  # of linux/in.h

FAMILIES = {"ipv4": (world.L4_4, world.SITE4, "192.0.2.2"), "ipv6": (world.L4_6, world.SITE6, "2001:db8:1::2")}


def counted(sluice, name: str) -> int:
    return sum(worker[name] for worker in sluice.ctl("status")["workers"])


def fragment_drops(sluice) -> int:
    return sum(row["packets"] for row in sluice.ctl("drops") if row["reason"].startswith("fragment"))


@pytest.mark.parametrize("family", FAMILIES)
def test_datagrams_in_fragments_go_and_come_back(lab, sluice, family):
    address = FAMILIES[family][0]
    before, dropped = counted(sluice, "fragments"), fragment_drops(sluice)
    text = random.Random(7)
    with lab.make_socket("client", socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2.0 * world.PATIENCE)
        for size in (1473, 3000, 8000, 20000, 60000):
            payload = bytes(text.choices(range(33, 127), k=size))
            for attempt in range(5):  # UDP may lose one
                sock.sendto(payload, (address, world.ECHO_PORT))
                with contextlib.suppress(TimeoutError):
                    assert sock.recv(65536).endswith(b" " + payload)
                    break
            else:
                raise AssertionError(f"no answer to {size} bytes")
    assert counted(sluice, "fragments") - before >= 2 * (2 + 3 + 6 + 14 + 41)
    assert fragment_drops(sluice) == dropped


@pytest.mark.parametrize("family", FAMILIES)
def test_large_pings_are_answered(lab, sluice, family):
    for address in (FAMILIES[family][0], FAMILIES[family][2]):  # a service's, and our own
        ping = lab.run("client", "ping", "-c", 3, "-i", 0.2, "-W", 2 * world.PATIENCE, "-s", 6000, address)
        assert re.search(r"3 packets transmitted, 3 received", ping.stdout), ping.stdout


def test_segments_cut_by_a_router_reach_a_proxy(lab, sluice):
    """A host that does without path MTU discovery, behind a router whose way on is narrow."""
    before = counted(sluice, "reassembled")
    body = random.Random(8).randbytes(100_000)
    with host_behind(lab, "client", "far", BEYOND_CLIENT):
        lab.run("client", "ip", "link", "set", "far", "mtu", 1500)  # takes what the host sends
        lab.run("client", "ip", "route", "replace", "203.0.113.0/24", "via", "192.0.2.2", "mtu", "lock", 700)
        try:
            with lab.make_socket("far") as raw:
                raw.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
                raw.settimeout(10 * world.PATIENCE)
                raw.connect((FAMILIES["ipv4"][1], 80))
                raw.sendall(b"POST /sha256 HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n"
                            b"Content-Length: %d\r\n\r\n" % len(body))
                raw.sendall(body)
                answer = b""
                while part := raw.recv(65536):
                    answer += part
        finally:
            lab.run("client", "ip", "route", "replace", "203.0.113.0/24", "via", "192.0.2.2")
    assert answer.startswith(b"HTTP/1.1 200") and hashlib.sha256(body).hexdigest().encode() in answer
    assert counted(sluice, "reassembled") > before
