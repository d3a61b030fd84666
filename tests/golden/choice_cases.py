"""Golden cases of choosing a backend: weights, limits, backups, and what happens when all are down. make_cases.py writes them."""

from scapy.all import ICMP, IP, TCP, UDP, ICMPv6DestUnreach, IPv6

from packets import (B1, B2, BACKENDS, Case, Cases, EDGE, GATEWAY, GW, GW6, HEALTH, ONE_ARM, OWN, OWN6, SERVICE,
                     SERVICE6, built, forwarded, from_client, icmp_error_of, reset_of)

CASES = case = Cases()
BACKENDS6 = ["2001:db8:1::11", "2001:db8:1::12"]
MACS = [B1, B2]


def config(keys="", backend_keys=("", ""), forward_keys="", checked=False) -> str:
    """Two backends for each family; `keys` are the pools', backend_keys each backend's."""
    def pool(addresses):
        rows = ", ".join(f'{{ name: web{i + 1}, address: "{address}", port: 8080 {backend_keys[i]} }}'
                         for i, address in enumerate(addresses))
        return f"{{ {HEALTH if checked else ''}{keys} backends: [ {rows} ] }}"
    neighbors = "\n".join(f'  - {{ interface: edge, address: "{address}", mac: "{MACS[i]}" }}'
                          for addresses in (BACKENDS[:2], BACKENDS6) for i, address in enumerate(addresses))
    return ONE_ARM + f"""neighbors:
  - {{ interface: edge, address: {GW}, mac: "{GATEWAY}" }}
  - {{ interface: edge, address: "{GW6}", mac: "{GATEWAY}" }}
{neighbors}
pools:
  web: {pool(BACKENDS[:2])}
  web6: {pool(BACKENDS6)}
services:
  web: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp"], forward: {{ mode: nat, pool: web {forward_keys} }} }}
  web6: {{ listen: ["[{SERVICE6}]:80/tcp", "[{SERVICE6}]:53/udp"], forward: {{ mode: nat, pool: web6 {forward_keys} }} }}
"""


FAMILIES = ((SERVICE, BACKENDS, OWN), (SERVICE6, BACKENDS6, OWN6))


def flows(count):
    """SYNs of so many flows of each family: (syn, its NAT port's number, backends, own address)."""
    number = 0
    for service, backends, own in FAMILIES:
        for _ in range(count):
            number += 1
            yield TCP(sport=40000 + number, dport=80, flags="S", seq=number), number, service, backends, own


def all_go_to(c, count, at):
    for segment, number, service, backends, own in flows(count):
        syn = c.receive(from_client(segment, dst=service))
        c.expect(forwarded(syn, number, backend=backends[at], own=own, mac=MACS[at]))
    return c


@case
def a_weight_of_zero_takes_no_new_flow():
    return all_go_to(Case(config("balance: round_robin,", (", weight: 0", ", weight: 65535"))), 3, 1)


@case
def a_backup_rests():
    return all_go_to(Case(config("balance: round_robin,", (", backup: true", ""))), 3, 1)


@case
def a_backup_takes_over():
    return all_go_to(Case(config(backend_keys=(", backup: true", ""), checked=True), down=["web/web2", "web6/web2"]), 3, 0)


@case
def when_all_are_down_all_are_used():
    return all_go_to(Case(config("on_all_down: use_all,", ("", ", backup: true"), checked=True),
                          down=["web/web1", "web6/web1", "web/web2", "web6/web2"]), 3, 0)


@case
def a_backend_takes_no_more_than_its_flows():
    """One flow each and no more; a known flow's packets pass."""
    c = Case(config("balance: least_conn,", (", max_flows: 1", ", max_flows: 1, backup: true")))
    number = 0
    for service, backends, own in FAMILIES:
        for at in (0, 1):
            number += 1
            syn = c.receive(from_client(TCP(sport=40000 + at, dport=80, flags="S", seq=1), dst=service))
            c.expect(forwarded(syn, number, backend=backends[at], own=own, mac=MACS[at]))
        syn = c.receive(from_client(TCP(sport=40009, dport=80, flags="S", seq=1), dst=service))
        c.expect(reset_of(syn))
        query = c.receive(from_client(UDP(sport=5353, dport=53) / b"query", dst=service))
        c.expect(icmp_error_of(query, ICMP(type=3, code=3), ICMPv6DestUnreach(code=4)))
        syn = c.receive(from_client(TCP(sport=40001, dport=80, flags="S", seq=1), dst=service))
        c.expect(forwarded(syn, number, backend=backends[1], own=own, mac=MACS[1]))
    c.drop("backends_full", 4)
    return c


@case
def source_hash_keeps_a_client_on_its_backend():
    """From which port it comes does not matter. Which of the two is theirs follows from the backends' names."""
    c = Case(config("balance: source_hash,"))
    seen = [c.receive(from_client(segment, dst=service)) for segment, _, service, _, _ in flows(4)]
    for first in (0, 1):
        for packet, (_, number, service, backends, own) in zip(seen, flows(4)):
            at = first if service == SERVICE else SOURCE_HASH6
            c.expect(forwarded(packet, number, backend=backends[at], own=own, mac=MACS[at]), alternative=first)
    return c


SOURCE_HASH6 = 0  # a contract, as the table itself: every machine chooses alike


def with_starts(c, expect):
    """Both pools' turns begin anywhere: one expectation for each pair of starts."""
    for start4 in (0, 1):
        for start6 in (0, 1):
            expect(c, {SERVICE: start4, SERVICE6: start6}, start4 * 2 + start6)
    return c


@case
def persist_keeps_a_client_on_its_backend():
    """Its first flow has its turn, the rest follow it."""
    c = Case(config("balance: round_robin,", forward_keys=", persist: 60s"))
    seen = [c.receive(from_client(segment, dst=service)) for segment, _, service, _, _ in flows(4)]

    def expect(c, starts, alternative):
        for packet, (_, number, service, backends, own) in zip(seen, flows(4)):
            at = starts[service]
            c.expect(forwarded(packet, number, backend=backends[at], own=own, mac=MACS[at]), alternative=alternative)
    return with_starts(c, expect)


@case
def one_packet_scheduling_gives_each_packet_a_turn():
    text = config("balance: round_robin,", forward_keys=", one_packet: true")
    for old, new in (("mode: nat", "mode: dsr"), (", port: 8080", ""), (':80/tcp", ', ':54/udp", ')):
        assert old in text
        text = text.replace(old, new)
    c = Case(text)
    seen = [(service, c.receive(from_client(UDP(sport=5353, dport=53) / b"query", dst=service)))
            for service in (SERVICE, SERVICE6) for _ in range(4)]

    def expect(c, starts, alternative):
        turns = dict(starts)
        for service, packet in seen:
            out = packet.copy()  # the MAC addresses are others, and it is one hop further
            out.src, out.dst = EDGE, MACS[turns[service] % 2]
            if out.haslayer(IP):
                out[IP].ttl -= 1
                del out[IP].chksum
            else:
                out[IPv6].hlim -= 1
            out = built(out)
            turns[service] += 1
            c.expect(out, alternative=alternative)
    return with_starts(c, expect)
