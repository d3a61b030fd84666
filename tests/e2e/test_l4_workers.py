"""Several workers on one interface with two queues. The kernel's fanout spreads one flow over both queues, and replies arrive
anywhere; still each flow has one backend and one NAT port."""
import collections
import socket

import pytest

import client
import world

FLOWS = 100
DATAGRAMS = 10


@pytest.fixture(scope="module", params=["two_cpus", "one_cpu"])
def sluice(request, start_sluice, origins):
    origins.restore()
    if request.param == "two_cpus" and len(world.CPUS) > 1:
        workers = [world.CPUS[-1], world.CPUS[-2]]
    else:
        workers = [world.CPUS[-1], world.CPUS[-1]]
    with start_sluice(world.layer4_config("af_packet", queues=2, workers=workers)) as running:
        running.wait_until_up("backend1", "backend2", "backend3")
        yield running


def test_tcp_flows_stay_together(lab, sluice):
    seen = client.echo_many(lab, world.L4_4, world.ECHO_PORT, 2000, lines=5)
    assert not collections.Counter(one.failure for one in seen if one.failure)
    assert len({one.backend for one in seen}) == 3


def answer_of(sock, address):
    """What the backend answers. UDP may lose a datagram: it is sent again, sooner than the flow is forgotten (SHORT_FLOWS)."""
    for _ in range(4 * world.PATIENCE):
        try:
            return sock.recv(1000)
        except TimeoutError:
            sock.sendto(b"x", (address, world.ECHO_PORT))
    return sock.recv(1000)


@pytest.mark.parametrize("address", [world.L4_4, world.L4_6], ids=["ipv4", "ipv6"])
def test_udp_flows_keep_backend_and_nat_port(lab, sluice, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    seen = collections.defaultdict(set)
    sockets = [lab.make_socket("client", family, socket.SOCK_DGRAM) for _ in range(FLOWS)]
    try:
        for _ in range(DATAGRAMS):
            for sock in sockets:
                sock.settimeout(1.0)
                sock.sendto(b"x", (address, world.ECHO_PORT))
            for number, sock in enumerate(sockets):
                seen[number].add(tuple(answer_of(sock, address).split()[:3]))
    finally:
        for sock in sockets:
            sock.close()
    split = {number: found for number, found in seen.items() if len(found) != 1}
    assert not split, f"flows with more than one backend or NAT port: {split}"
    assert len({next(iter(found)) for found in seen.values()}) == FLOWS, "two flows share a NAT port"


def test_both_workers_work(lab, sluice):
    client.echo_many(lab, world.L4_4, world.ECHO_PORT, 500)
    workers = sluice.ctl("status")["workers"]
    assert len(workers) == 2
    assert all(worker["flows_created"] > 50 for worker in workers), workers
