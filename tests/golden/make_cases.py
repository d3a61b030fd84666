#!/usr/bin/env python3
"""Writes the golden cases: for each a configuration, what the interfaces receive, and what they must send.

What must be sent is written here by hand from the RFCs, with scapy as a typewriter; nothing of it comes out of sluice.
Two things that sluice chooses at random are placeholders:
  NAT source ports   the ports 1, 2, ... (NAT(1), NAT(2)); run_golden.py learns the real ones from the first packet towards
                     the backend, checks that they are in the range that sluice may use, and puts them into the rest.
  the first backend  of round robin and of Maglev: a case may have several complete expectations, one of which must hold.

usage: make_cases.py [CASE...]     writes all cases, or those named; the files are checked in.
"""

import sys

from scapy.all import (ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest,
                       ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig,
                       ICMPv6ParamProblem, ICMPv6TimeExceeded, IPv6, Raw, raw)

from choice_cases import CASES as CHOICE_CASES
from defence_cases import CASES as DEFENCE_CASES
from esp_cases import CASES as ESP_CASES
from nat_cases import CASES as NAT_CASES
from network_cases import CASES as NETWORK_CASES
from network_cases import cut
from protocol_cases import CASES as PROTOCOL_CASES
from tunnel_cases import CASES as TUNNEL_CASES
from packets import (B1, B2, B3, BACKEND6, BACKENDS, BROADCAST, Case, Cases, CLIENT, CLIENT6, EDGE, GATEWAY, GW, GW6,
                     HEALTH, INSIDE, NAT, NEAR, ON_LINK_SERVICE, ON_LINK_SERVICE6, ONE_ARM, ONE_ARM_NEIGHBORS,
                     ONE_BACKEND, OWN, OWN6, OWN_INSIDE, OWN_LINK_LOCAL, SERVICE, SERVICE6, SIMPLE, arp_request, built,
                     error_about, error_passed, forwarded, from_backend, from_client, icmp_error_of, pool_of, reset_of,
                     returned, rewritten, rfc1624, solicited_node, two_armed)

CASES = case = Cases(NETWORK_CASES | NAT_CASES | CHOICE_CASES | PROTOCOL_CASES | TUNNEL_CASES | ESP_CASES | DEFENCE_CASES)


# ---- forwarding ----


def tcp_exchange(c: Case, service, backend, own, client):
    stamps = [("NOP", None), ("NOP", None), ("Timestamp", (1000, 0))]
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000, window=64240,
                                    options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1000, 0)), ("NOP", None),
                                             ("WScale", 7)]), dst=service))
    c.expect(forwarded(syn, 1, backend=backend, own=own))
    syn_ack = c.receive(from_backend(TCP(sport=8080, dport=NAT(1), flags="SA", seq=9000, ack=1001,
                                         options=[("MSS", 1460)]), backend=backend, own=own))
    c.expect(returned(syn_ack, 40000, client=client, service=service))
    ack = c.receive(from_client(TCP(sport=40000, dport=80, flags="A", seq=1001, ack=9001, options=stamps), dst=service))
    c.expect(forwarded(ack, 1, backend=backend, own=own))
    data = c.receive(from_client(TCP(sport=40000, dport=80, flags="PA", seq=1001, ack=9001) / b"GET / HTTP/1.0\r\n\r\n!",
                                 dst=service))  # an odd number of bytes
    c.expect(forwarded(data, 1, backend=backend, own=own))
    answer = c.receive(from_backend(TCP(sport=8080, dport=NAT(1), flags="PA", seq=9001, ack=1020) / (b"\xff" * 1000),
                                    backend=backend, own=own))
    c.expect(returned(answer, 40000, client=client, service=service))
    for flags, seq, ack_number in (("FA", 10001, 1020),):
        fin = c.receive(from_backend(TCP(sport=8080, dport=NAT(1), flags=flags, seq=seq, ack=ack_number), backend=backend,
                                     own=own))
        c.expect(returned(fin, 40000, client=client, service=service))
    fin = c.receive(from_client(TCP(sport=40000, dport=80, flags="FA", seq=1020, ack=10002), dst=service))
    c.expect(forwarded(fin, 1, backend=backend, own=own))
    last = c.receive(from_backend(TCP(sport=8080, dport=NAT(1), flags="A", seq=10002, ack=1021), backend=backend, own=own))
    c.expect(returned(last, 40000, client=client, service=service))


@case
def tcp4_connection():
    c = Case(SIMPLE)
    tcp_exchange(c, SERVICE, BACKENDS[0], OWN, CLIENT)
    return c


@case
def tcp6_connection():
    c = Case(SIMPLE)
    tcp_exchange(c, SERVICE6, BACKEND6, OWN6, CLIENT6)
    return c


def udp_exchange(c: Case, service, backend, own, client):
    query = c.receive(from_client(UDP(sport=5353, dport=53) / b"query", dst=service))
    c.expect(forwarded(query, 1, backend=backend, own=own))
    answer = c.receive(from_backend(UDP(sport=8080, dport=NAT(1)) / b"an answer", backend=backend, own=own))
    c.expect(returned(answer, 5353, client=client, service=service, service_port=53))
    again = c.receive(from_client(UDP(sport=5353, dport=53) / b"another query", dst=service))
    c.expect(forwarded(again, 1, backend=backend, own=own))


@case
def udp4_exchange():
    c = Case(SIMPLE)
    udp_exchange(c, SERVICE, BACKENDS[0], OWN, CLIENT)
    return c


@case
def udp6_exchange():
    c = Case(SIMPLE)
    udp_exchange(c, SERVICE6, BACKEND6, OWN6, CLIENT6)
    return c


@case
def udp4_without_checksum_stays_without():
    """RFC 768: a checksum of zero says that the sender computed none."""
    c = Case(SIMPLE)
    query = c.receive(from_client(UDP(sport=5353, dport=53, chksum=0) / b"query"))
    expected = forwarded(query, 1)
    expected[UDP].chksum = 0
    c.expect(built(expected))
    return c


@case
def a_wrong_checksum_stays_wrong():
    """RFC 1624: the incremental update keeps the difference, so that the backend still finds the damage."""
    c = Case(SIMPLE)
    c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1)))
    c.expect(forwarded(c.inputs["edge"][-1], 1))
    damaged = from_client(TCP(sport=40000, dport=80, flags="A", seq=2, ack=1) / b"payload")
    damaged[TCP].chksum ^= 0x0101
    damaged = c.receive(built(damaged))
    expected = forwarded(damaged, 1)
    old = raw(damaged[IP])[12:20] + raw(damaged[TCP])[0:4]
    new = raw(expected[IP])[12:20] + raw(expected[TCP])[0:4]
    expected[TCP].chksum = rfc1624(damaged[TCP].chksum, old, new)
    c.expect(built(expected))
    return c


@case
def other_header_fields_pass_unchanged():
    """RFC 3022: a NAT changes addresses, ports and checksums. TOS, identifier, DF and the flow label are the sender's."""
    c = Case(SIMPLE)
    for number, packet in enumerate([
            from_client(TCP(sport=40001, dport=80, flags="S", seq=1), tos=0xB8, id=0xBEEF, flags="DF", ttl=200),
            from_client(TCP(sport=40002, dport=80, flags="SEC", seq=2), tos=0x02, id=7, ttl=2)], start=1):
        c.expect(forwarded(c.receive(packet), number))
    packet = c.receive(from_client(TCP(sport=40003, dport=80, flags="S", seq=3), dst=SERVICE6, tc=0xB8, fl=0x12345, hlim=2))
    c.expect(forwarded(packet, 3, backend=BACKEND6, own=OWN6))
    return c


@case
def ethernet_padding_is_removed():
    """A frame of the least length carries padding; it is no part of the packet (RFC 894), and is not forwarded."""
    c = Case(SIMPLE)
    query = from_client(UDP(sport=5353, dport=53) / b"q")
    c.receive(Ether(raw(query) + b"\xee" * (60 - len(raw(query)))))
    c.expect(forwarded(query, 1))
    return c


@case
def two_flows_have_two_ports():
    c = Case(SIMPLE)
    for number, sport in enumerate((40001, 40002), start=1):
        syn = c.receive(from_client(TCP(sport=sport, dport=80, flags="S", seq=number)))
        c.expect(forwarded(syn, number))
    for number, sport in ((2, 40002), (1, 40001)):
        answer = c.receive(from_backend(TCP(sport=8080, dport=NAT(number), flags="SA", seq=1, ack=number + 1)))
        c.expect(returned(answer, sport))
    return c


@case
def two_workers_share_flows_and_replies():
    """Whichever worker the packet came to, the flow has one backend and one port."""
    c = Case(SIMPLE.replace("workers: [0]", "workers: [0, 0, 1]"))
    for number in range(1, 9):
        syn = c.receive(from_client(TCP(sport=41000 + number, dport=80, flags="S", seq=number)))
        c.expect(forwarded(syn, number))
        answer = c.receive(from_backend(TCP(sport=8080, dport=NAT(number), flags="SA", seq=1, ack=number + 1)))
        c.expect(returned(answer, 41000 + number))
    return c


@case
def two_interfaces():
    c = Case(f"""
runtime: {{ workers: [0], flows: 1024 }}
interfaces:
  edge: {{ device: net_null0, addresses: {OWN}/24, gateway: {GW} }}
  inside: {{ device: net_null1, addresses: 192.0.2.130/25 }}
neighbors:
  - {{ interface: edge, address: {GW}, mac: "{GATEWAY}" }}
  - {{ interface: inside, address: 192.0.2.131, mac: "{B1}" }}
pools:
  web: {{ backends: [ {{ name: web1, address: 192.0.2.131, port: 8080 }} ] }}
services:
  web: {{ listen: "{SERVICE}:80/tcp", forward: {{ mode: nat, pool: web }} }}
""", two=True)
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000)))
    c.expect(forwarded(syn, 1, backend=NEAR, own=OWN_INSIDE, mac_src=INSIDE), "inside")
    answer = c.receive(from_backend(TCP(sport=8080, dport=NAT(1), flags="SA", seq=5, ack=1001), backend="192.0.2.131",
                                    own="192.0.2.130", to=INSIDE), "inside")
    c.expect(returned(answer, 40000))
    return c


@case
def source_addresses_of_the_service():
    """`forward.source` is what the backend sees; we answer ARP for it, since it is on-link."""
    source = "198.51.100.200"
    c = Case(SIMPLE.replace(f'"{ON_LINK_SERVICE}:80/tcp"], forward: {{ mode: nat, pool: web }}',
                            f'"{ON_LINK_SERVICE}:80/tcp"], forward: {{ mode: nat, pool: web, source: {source} }}'))
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000)))
    c.expect(forwarded(syn, 1, own=source))
    answer = c.receive(from_backend(TCP(sport=8080, dport=NAT(1), flags="SA", seq=5, ack=1001), own=source))
    c.expect(returned(answer, 40000))
    c.receive(built(Ether(src=B1, dst=BROADCAST) / ARP(op=1, hwsrc=B1, psrc=BACKENDS[0], pdst=source)))
    c.expect(built(Ether(src=EDGE, dst=B1) / ARP(op=2, hwsrc=EDGE, psrc=source, hwdst=B1, pdst=BACKENDS[0])))
    return c


@case
def static_route_by_another_gateway():
    c = Case(SIMPLE.replace("\nneighbors:", f"""
routes:
  - {{ prefix: 192.0.2.0/24, via: {BACKENDS[2]} }}
neighbors:"""))
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000)))
    c.expect(forwarded(syn, 1))
    answer = c.receive(from_backend(TCP(sport=8080, dport=NAT(1), flags="SA", seq=5, ack=1001)))
    c.expect(returned(answer, 40000, mac=B3))
    return c


# ---- balancing ----


@case
def round_robin_takes_turns():
    """Each backend in its turn; where the turns begin is random."""
    c = Case(ONE_ARM + ONE_ARM_NEIGHBORS + pool_of("round_robin", 3))
    macs = [B1, B2, B3]
    for number in range(1, 7):
        syn = c.receive(from_client(TCP(sport=40000 + number, dport=80, flags="S", seq=number)))
        for start in range(3):
            at = (start + number - 1) % 3
            c.expect(forwarded(syn, number, backend=BACKENDS[at], mac=macs[at]), alternative=start)
    return c


@case
def a_flow_stays_with_its_backend():
    """Maglev picks one of two; all packets of the flow, both ways, go there."""
    c = Case(ONE_ARM + ONE_ARM_NEIGHBORS + pool_of("maglev", 2))
    packets = [from_client(TCP(sport=40000, dport=80, flags=flags, seq=seq, ack=ack))
               for flags, seq, ack in (("S", 1, 0), ("A", 2, 100), ("PA", 2, 100), ("FA", 3, 100))]
    for packet in packets:
        c.receive(packet)
        for at, mac in enumerate((B1, B2)):
            c.expect(forwarded(packet, 1, backend=BACKENDS[at], mac=mac), alternative=at)
    return c


@case
def a_backend_that_is_down_gets_nothing():
    c = Case(ONE_ARM + ONE_ARM_NEIGHBORS + pool_of("round_robin", 2).replace("balance:", HEALTH + "balance:"),
             down=["web/web1"])
    for number in range(1, 4):
        syn = c.receive(from_client(TCP(sport=40000 + number, dport=80, flags="S", seq=number)))
        c.expect(forwarded(syn, number, backend=BACKENDS[1], mac=B2))
    return c


# ---- refusals ----


@case
def no_backend_is_answered():
    down = SIMPLE.replace("web: { backends", "web: { " + HEALTH + "backends").replace(
        "web6: { backends", "web6: { " + HEALTH + "backends")
    c = Case(down, down=["web/web1", "web6/web1"])
    for service in (SERVICE, SERVICE6):
        syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000), dst=service))
        c.expect(reset_of(syn))
        query = c.receive(from_client(UDP(sport=5353, dport=53) / b"query", dst=service))
        c.expect(icmp_error_of(query, ICMP(type=3, code=3), ICMPv6DestUnreach(code=4)))
    c.drop("no_backend", 4)
    return c


@case
def a_segment_amid_an_unknown_flow_is_reset():
    c = Case(SIMPLE)
    for service in (SERVICE, SERVICE6):
        for flags in ("A", "PA", "FA", "SA"):
            segment = c.receive(from_client(TCP(sport=40000, dport=80, flags=flags, seq=500, ack=777) / b"data", dst=service))
            c.expect(reset_of(segment))
        c.receive(from_client(TCP(sport=40000, dport=80, flags="R", seq=500), dst=service))  # never answered
    c.drop("no_flow", 10)
    return c


@case
def a_reply_without_a_flow_is_reset():
    """The backend still holds a connection that we know nothing of: a reset lets it go."""
    c = Case(SIMPLE)
    segment = c.receive(from_backend(TCP(sport=8080, dport=33333, flags="A", seq=500, ack=777)))
    c.expect(reset_of(segment))
    c.receive(from_backend(UDP(sport=8080, dport=33333) / b"late"))
    c.drop("nat_no_reply_flow", 2)
    return c


@case
def closed_ports_of_our_own():
    c = Case(SIMPLE)
    for own in (OWN, OWN6):
        syn = c.receive(from_client(TCP(sport=40000, dport=22, flags="S", seq=1000), dst=own))
        c.expect(reset_of(syn))
        query = c.receive(from_client(UDP(sport=5353, dport=161) / b"query", dst=own))
        c.expect(icmp_error_of(query, ICMP(type=3, code=3), ICMPv6DestUnreach(code=4)))
    c.drop("port_closed", 4)
    return c


@case
def ttl_used_up():
    c = Case(SIMPLE)
    for ttl in (1, 0):
        syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000), ttl=ttl))
        c.expect(icmp_error_of(syn, ICMP(type=11, code=0), src=OWN))
    long = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * 1000), ttl=1))
    c.expect(icmp_error_of(long, ICMP(type=11, code=0), src=OWN))
    syn6 = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000), dst=SERVICE6, hlim=1))
    c.expect(icmp_error_of(syn6, icmp6=ICMPv6TimeExceeded(code=0), src=OWN6))
    c.drop("ttl_expired", 4)
    return c


@case
def larger_than_the_way_out():
    """RFC 1191, RFC 8201: who set DF is told the MTU. Without DF it leaves in fragments (RFC 791 section 3.2)."""
    c = Case(two_armed(1500, 1400, f'"{SERVICE}:53/udp"'), two=True)
    packet = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * 1400), flags="DF"))
    c.expect(icmp_error_of(packet, ICMP(type=3, code=4, nexthopmtu=1400), src=OWN))
    packet = c.receive(from_client(UDP(sport=5354, dport=53) / (b"x" * 1400), id=7))
    for part in cut(forwarded(packet, 2, backend=NEAR, own=OWN_INSIDE, mac_src=INSIDE), 1376):
        c.expect(part, "inside")
    packet = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * 1400), dst=SERVICE6))
    c.expect(icmp_error_of(packet, icmp6=ICMPv6PacketTooBig(mtu=1400), src=OWN6))
    fits = c.receive(from_client(UDP(sport=5355, dport=53) / (b"x" * 1372), flags="DF"))
    c.expect(forwarded(fits, 1, backend=NEAR, own=OWN_INSIDE, mac_src=INSIDE), "inside")
    c.drop("too_big", 2)
    return c


@case
def icmp_errors_are_rate_limited():
    """A burst of 100, then 1,000 a second (RFC 1812 section 4.3.2.8)."""
    c = Case(SIMPLE)
    for number in range(110):
        packet = c.receive(from_client(UDP(sport=1024 + number, dport=161) / b"q", dst=OWN), after=0.000001)
        if number < 100:
            c.expect(icmp_error_of(packet, ICMP(type=3, code=3)))
    c.drop("port_closed", 110)
    return c


# ---- errors about flows ----


def errors_about_a_flow(c: Case, service, backend, own, client, router, far_router):
    """RFC 5508 section 4: errors pass to the other side, about the packet as that side knows it, whoever made them."""
    kinds = [(ICMP(type=3, code=4, nexthopmtu=1400), ICMPv6PacketTooBig(mtu=1400)),
             (ICMP(type=3, code=1), ICMPv6DestUnreach(code=3)),
             (ICMP(type=11, code=0), ICMPv6TimeExceeded(code=0)),
             (ICMP(type=12, code=0, ptr=20), ICMPv6ParamProblem(code=0, ptr=40))]
    headers = 40 if ":" in service else 20
    flows = [(TCP(sport=40000, dport=80, flags="S", seq=7) / (b"x" * 101), TCP(sport=8080, dport=NAT(1), flags="SA", seq=9), 80),
             (UDP(sport=5353, dport=53) / (b"x" * 101), UDP(sport=8080, dport=NAT(2)) / b"answer", 53)]
    for number, (question, answer, port) in enumerate(flows, start=1):
        asked = c.receive(from_client(question, dst=service))
        c.expect(forwarded(asked, number, backend=backend, own=own))
        answered = c.receive(from_backend(answer, backend=backend, own=own))
        c.expect(returned(answered, question.sport, client=client, service=service, service_port=port))
        for kind in kinds:
            for quote, hop, far_hop in ((None, router, far_router), (headers + 8, backend, client)):
                error = c.receive(error_about(forwarded(asked, number, backend=backend, own=own), *kind, src=hop, mac=B2,
                                              quote=quote))
                c.expect(error_passed(error, asked, *kind, src=service, mac=GATEWAY, quote=quote))
                error = c.receive(error_about(returned(answered, question.sport, client=client, service=service,
                                                       service_port=port), *kind, src=far_hop, mac=GATEWAY, quote=quote))
                c.expect(error_passed(error, answered, *kind, src=own, mac=B1, quote=quote))
        redirect = ICMP(type=5, code=1, gw=GW)
        if ":" not in service:
            c.receive(error_about(forwarded(asked, number, backend=backend, own=own), redirect, src=router, mac=B2))
            c.drop("icmp_unhandled")
    # No flow has these ports.
    stranger = from_client(TCP(sport=40009, dport=80, flags="S"), dst=service)
    c.receive(error_about(rewritten(stranger, src=own, sport=33333, dst=backend, dport=8080, mac_src=EDGE, mac_dst=B1),
                          *kinds[0], src=router, mac=B2))
    c.receive(error_about(rewritten(stranger, src=service, sport=80, dst=client, dport=40009, mac_src=EDGE,
                                    mac_dst=GATEWAY), *kinds[0], src=far_router, mac=GATEWAY))
    c.drop("icmp_no_flow", 2)


@case
def icmp4_errors_about_a_flow():
    c = Case(SIMPLE)
    errors_about_a_flow(c, SERVICE, BACKENDS[0], OWN, CLIENT, BACKENDS[1], "192.0.2.254")
    # Not whole: to nobody.
    asked = from_client(TCP(sport=40000, dport=80, flags="S", seq=7))
    damaged = error_about(returned(asked, 40000), ICMP(type=3, code=1), src="192.0.2.254", mac=GATEWAY)
    damaged[ICMP].chksum ^= 1
    c.receive(built(damaged))
    c.drop("bad_checksum")
    # At the end of its way; there are no errors about errors (RFC 1122 section 3.2.2).
    c.receive(error_about(returned(asked, 40000), ICMP(type=3, code=1), src="192.0.2.254", mac=GATEWAY, ttl=1))
    c.drop("ttl_expired")
    return c


@case
def icmp6_errors_about_a_flow():
    c = Case(SIMPLE)
    errors_about_a_flow(c, SERVICE6, BACKEND6, OWN6, CLIENT6, "2001:db8:1::12", "2001:db8:99::fe")
    return c


@case
def icmp_errors_find_the_worker_of_the_flow():
    """Whichever worker the error came to, it is passed on by the one that has the flow."""
    c = Case(SIMPLE.replace("workers: [0]", "workers: [0, 0, 1]"))
    too_big = ICMP(type=3, code=4, nexthopmtu=1400)
    for number in range(1, 9):
        syn = c.receive(from_client(TCP(sport=41000 + number, dport=80, flags="S", seq=number)))
        c.expect(forwarded(syn, number))
        error = c.receive(error_about(forwarded(syn, number), too_big, src=BACKENDS[1], mac=B2))
        c.expect(error_passed(error, syn, too_big, src=SERVICE, mac=GATEWAY))
        answer = c.receive(from_backend(TCP(sport=8080, dport=NAT(number), flags="SA", seq=1, ack=number + 1)))
        c.expect(returned(answer, 41000 + number))
        error = c.receive(error_about(returned(answer, 41000 + number), too_big, src="192.0.2.254", mac=GATEWAY))
        c.expect(error_passed(error, answer, too_big, src=OWN, mac=B1))
    return c


# ---- dropped ----


@case
def not_for_us():
    c = Case(SIMPLE)
    c.receive(from_client(TCP(sport=40000, dport=80, flags="S"), dst="203.0.113.99"))
    c.receive(from_client(UDP(sport=40000, dport=80) / b"x", dst="2001:db8:5::99"))
    c.receive(built(Ether(src=GATEWAY, dst=BROADCAST) / IP(src=CLIENT, dst="198.51.100.255") / UDP(sport=1, dport=137)))
    c.drop("not_for_us", 3)
    other = from_client(TCP(sport=40000, dport=80, flags="S"))
    other[Ether].dst = "02:00:00:00:00:99"  # flooded by a switch
    c.receive(other)
    c.drop("bad_ethernet")
    return c


@case
def malformed():
    c = Case(SIMPLE)

    def bad(packet, reason):
        c.receive(packet)
        c.drop(reason)

    good = from_client(TCP(sport=40000, dport=80, flags="S"))

    def patched(offset, value, packet=good):
        data = bytearray(raw(packet))
        data[offset:offset + len(value)] = value
        return Ether(bytes(data))

    def with_ip_checksum(packet):
        del packet[IP].chksum
        return built(packet)

    bad(Raw(raw(good)[:13]), "link_truncated")                    # cut off in the Ethernet header
    bad(Ether(raw(good)[:12] + b"\x81\x00\x00\x07"), "link_truncated")  # and in a VLAN tag
    bad(Ether(raw(good)[:20]), "ip_truncated")                    # cut off in the IP header
    bad(patched(14, b"\x44"), "bad_ip_header")                    # header length 4 words
    bad(patched(14, b"\x55"), "bad_ip_header")                    # version 5
    bad(patched(24, b"\x12\x34"), "bad_ip_checksum")                # header checksum
    bad(with_ip_checksum(patched(16, b"\xff\xff")), "ip_truncated")  # longer than the frame
    bad(with_ip_checksum(patched(16, b"\x00\x10")), "bad_ip_header")  # shorter than its header
    bad(patched(46, b"\x40"), "bad_l4_header")                    # TCP data offset 4 words
    bad(patched(46, b"\xf0"), "bad_l4_header")                    # TCP options beyond the segment
    bad(patched(47, b"\x00"), "bad_tcp_flags")                    # no TCP flag at all
    bad(patched(47, b"\x03"), "bad_tcp_flags")                    # SYN and FIN
    bad(patched(12, b"\x88\x99"), "ether_type_unknown")
    bad(from_client(UDP(sport=1, dport=53, len=7) / b"x"), "bad_l4_header")
    bad(from_client(UDP(sport=1, dport=53, len=99) / b"x"), "bad_l4_header")
    bad(from_client(TCP(sport=1, dport=80, flags="S"), src="224.0.0.1"), "bad_ip_address")
    bad(from_client(TCP(sport=1, dport=80, flags="S"), src="127.0.0.1"), "bad_ip_address")
    bad(from_client(TCP(sport=1, dport=80, flags="S"), src=SERVICE), "land")
    bad(Ether(src=GATEWAY, dst=BROADCAST) / ARP(op=9, psrc=GW, hwsrc=GATEWAY, pdst=OWN), "bad_arp")
    bad(Ether(src=GATEWAY, dst=EDGE, type=0x806) / Raw(b"\x00\x01\x08\x00"), "bad_arp")
    good6 = from_client(TCP(sport=40000, dport=80, flags="S"), dst=SERVICE6)
    bad(patched(14, b"\x40", good6), "bad_ip_header")
    bad(patched(18, b"\xff\xff", good6), "ip_truncated")
    bad(from_client(TCP(sport=1, dport=80, flags="S"), src=SERVICE6, dst=SERVICE6), "land")
    for service in (SERVICE, SERVICE6):  # the packet ends within the layer 4 header
        for protocol, header in ((6, TCP(sport=40000, dport=80, flags="S")), (17, UDP(sport=5353, dport=53)),
                                 (1 if service == SERVICE else 58, ICMP())):
            number = {"proto": protocol} if service == SERVICE else {"nh": protocol}
            bad(from_client(Raw(raw(header)[:7]), dst=service, **number), "l4_truncated")
    bad(built(Ether(src=GATEWAY, dst=EDGE) / Dot1Q(vlan=7) / IP(src=CLIENT, dst=SERVICE) / TCP(dport=80)), "vlan_unknown")
    ping = from_client(ICMP() / b"damaged", dst=OWN)
    ping[ICMP].chksum ^= 1
    bad(built(ping), "bad_checksum")
    bad(from_client(Raw(b"payload"), dst=OWN, proto=89), "protocol_unknown")
    bad(from_client(ICMP(type=13, ts_ori=1, ts_rx=0, ts_tx=0), dst=OWN), "icmp_unhandled")    # timestamp request
    return c


# ---- the network around ----


@case
def arp_is_answered_for_own_and_on_link_service_addresses():
    c = Case(SIMPLE)
    for target in (OWN, ON_LINK_SERVICE):
        c.receive(built(Ether(src=GATEWAY, dst=BROADCAST) / ARP(op=1, hwsrc=GATEWAY, psrc=GW, pdst=target)))
        c.expect(built(Ether(src=EDGE, dst=GATEWAY) / ARP(op=2, hwsrc=EDGE, psrc=target, hwdst=GATEWAY, pdst=GW)))
    probe = Ether(src=B2, dst=BROADCAST) / ARP(op=1, hwsrc=B2, psrc="0.0.0.0", pdst=OWN)  # RFC 5227 section 2.1.1
    c.receive(built(probe))
    c.expect(built(Ether(src=EDGE, dst=B2) / ARP(op=2, hwsrc=EDGE, psrc=OWN, hwdst=B2, pdst="0.0.0.0")))
    for target in (SERVICE, "198.51.100.77"):  # not on-link; not ours
        c.receive(built(Ether(src=GATEWAY, dst=BROADCAST) / ARP(op=1, hwsrc=GATEWAY, psrc=GW, pdst=target)))
    c.drop("arp_not_for_us", 2)
    return c


@case
def neighbour_solicitations_are_answered():
    c = Case(SIMPLE)
    for target in (OWN6, ON_LINK_SERVICE6, OWN_LINK_LOCAL):
        group, mac = solicited_node(target)
        c.receive(built(Ether(src=GATEWAY, dst=mac) / IPv6(src=GW6, dst=group, hlim=255) / ICMPv6ND_NS(tgt=target) /
                        ICMPv6NDOptSrcLLAddr(lladdr=GATEWAY)))
        c.expect(built(Ether(src=EDGE, dst=GATEWAY) / IPv6(src=target, dst=GW6, hlim=255) /
                       ICMPv6ND_NA(tgt=target, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=EDGE)))
    # Duplicate address detection: answered to all nodes (RFC 4861 section 7.2.4).
    group, mac = solicited_node(OWN6)
    c.receive(built(Ether(src=B2, dst=mac) / IPv6(src="::", dst=group, hlim=255) / ICMPv6ND_NS(tgt=OWN6)))
    c.expect(built(Ether(src=EDGE, dst="33:33:00:00:00:01") / IPv6(src=OWN6, dst="ff02::1", hlim=255) /
                   ICMPv6ND_NA(tgt=OWN6, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=EDGE)))
    # Came over a router: hop limit 254 (RFC 4861 section 7.1.1).
    c.receive(built(Ether(src=GATEWAY, dst=mac) / IPv6(src=GW6, dst=group, hlim=254) / ICMPv6ND_NS(tgt=OWN6)))
    c.drop("bad_neighbor_discovery")
    group, mac = solicited_node("2001:db8:1::77")
    c.receive(built(Ether(src=GATEWAY, dst=mac) / IPv6(src=GW6, dst=group, hlim=255) / ICMPv6ND_NS(tgt="2001:db8:1::77")))
    c.drop("arp_not_for_us")
    return c


@case
def ping():
    c = Case(SIMPLE)
    for address in (OWN, SERVICE):
        request = c.receive(from_client(ICMP(id=7, seq=3) / b"abcdefg", dst=address, id=99, ttl=50))
        c.expect(built(Ether(src=EDGE, dst=GATEWAY) / IP(src=address, dst=CLIENT, id=request[IP].id, ttl=64) /
                       ICMP(type=0, id=7, seq=3) / b"abcdefg"))
    for address in (OWN6, SERVICE6):
        c.receive(from_client(ICMPv6EchoRequest(id=7, seq=3, data=b"abcdefg"), dst=address, hlim=50))
        c.expect(built(Ether(src=EDGE, dst=GATEWAY) / IPv6(src=address, dst=CLIENT6, hlim=64) /
                       ICMPv6EchoReply(id=7, seq=3, data=b"abcdefg")))
    # From a neighbour's link-local address to ours.
    c.receive(from_client(ICMPv6EchoRequest(id=8, seq=1), src="fe80::1", dst=OWN_LINK_LOCAL))
    c.expect(built(Ether(src=EDGE, dst=GATEWAY) / IPv6(src=OWN_LINK_LOCAL, dst="fe80::1", hlim=64) /
                   ICMPv6EchoReply(id=8, seq=1)))
    return c


UNRESOLVED = ONE_ARM + f"""
neighbors:
  - {{ interface: edge, address: {GW}, mac: "{GATEWAY}" }}
  - {{ interface: edge, address: "{GW6}", mac: "{GATEWAY}" }}
""" + ONE_BACKEND


@case
def packets_wait_for_arp():
    """One request, and what came meanwhile follows in its order."""
    c = Case(UNRESOLVED)
    packets = [c.receive(from_client(UDP(sport=5353, dport=53) / bytes([number]))) for number in range(3)]
    c.expect(arp_request(), at=0.001)
    c.receive(built(Ether(src=B1, dst=EDGE) / ARP(op=2, hwsrc=B1, psrc=BACKENDS[0], hwdst=EDGE, pdst=OWN)), after=0.1)
    for packet in packets:
        c.expect(forwarded(packet, 1))
    c.expect(forwarded(c.receive(from_client(UDP(sport=5353, dport=53) / b"later")), 1))
    return c


@case
def packets_wait_for_neighbour_discovery():
    c = Case(UNRESOLVED)
    packets = [c.receive(from_client(UDP(sport=5353, dport=53) / bytes([number]), dst=SERVICE6)) for number in range(3)]
    group, mac = solicited_node(BACKEND6)
    c.expect(built(Ether(src=EDGE, dst=mac) / IPv6(src=OWN6, dst=group, hlim=255) / ICMPv6ND_NS(tgt=BACKEND6) /
                   ICMPv6NDOptSrcLLAddr(lladdr=EDGE)), at=0.001)
    c.receive(built(Ether(src=B1, dst=EDGE) / IPv6(src=BACKEND6, dst=OWN6, hlim=255) /
                    ICMPv6ND_NA(tgt=BACKEND6, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=B1)), after=0.1)
    for packet in packets:
        c.expect(forwarded(packet, 1, backend=BACKEND6, own=OWN6))
    return c


@case
def a_silent_neighbour():
    """Three requests, a second apart; what waits is then dropped, at most 64 packets wait (RFC 4861 sections 7.2.2, 10)."""
    c = Case(UNRESOLVED)
    for number in range(66):
        c.receive(from_client(UDP(sport=5353, dport=53) / bytes([number])))
    for second in range(3):
        c.expect(arp_request(), at=0.001 + second)
    c.drop("neighbor_pending", 2)
    c.receive(from_client(UDP(sport=5353, dport=53) / b"too late"), after=3.5)
    c.drop("neighbor_unreachable", 65)
    return c


@case
def a_neighbour_is_asked_again_when_it_ages():
    """After 30 s, by unicast, if it was used since (RFC 4861 section 7.3.3); an address that moved is learnt."""
    c = Case(UNRESOLVED)
    first = c.receive(from_client(UDP(sport=5353, dport=53) / b"first"))
    c.expect(arp_request())
    c.receive(built(Ether(src=B1, dst=EDGE) / ARP(op=2, hwsrc=B1, psrc=BACKENDS[0], hwdst=EDGE, pdst=OWN)))
    c.expect(forwarded(first, 1))
    c.expect(forwarded(c.receive(from_client(UDP(sport=5353, dport=53) / b"used"), after=10), 1))
    probe = arp_request()
    probe[Ether].dst = B1
    c.expect(built(probe), at=30.002)
    c.receive(built(Ether(src=B2, dst=EDGE) / ARP(op=2, hwsrc=B2, psrc=BACKENDS[0], hwdst=EDGE, pdst=OWN)), after=20.5)
    c.expect(forwarded(c.receive(from_client(UDP(sport=5353, dport=53) / b"moved")), 1, mac=B2))
    return c


@case
def no_route_to_the_client():
    """There is no gateway, and the client is not on-link: how its packet came to us we do not know."""
    c = Case(f"""
runtime: {{ workers: [0], flows: 1024 }}
interfaces:
  edge: {{ device: net_null0, addresses: {OWN}/24 }}
neighbors:
  - {{ interface: edge, address: {BACKENDS[0]}, mac: "{B1}" }}
pools:
  web: {{ backends: [ {{ name: web1, address: {BACKENDS[0]}, port: 8080 }} ] }}
services:
  web: {{ listen: "{SERVICE}:80/tcp", forward: {{ mode: nat, pool: web }} }}
""")
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000)))
    c.expect(forwarded(syn, 1))
    c.receive(from_backend(TCP(sport=8080, dport=NAT(1), flags="SA", seq=5, ack=1001)))
    c.drop("no_route")
    return c


def main() -> None:
    names = sys.argv[1:] or list(CASES)
    for name in names:
        CASES[name]().write(name)
    print(f"{len(names)} cases written")


if __name__ == "__main__":
    main()
