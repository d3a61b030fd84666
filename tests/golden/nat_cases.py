"""Golden cases of the modes beside `nat` that rewrite addresses: `dnat`. make_cases.py writes them."""

from scapy.all import (ICMP, TCP, UDP, ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded)

from packets import (B1, B2, BACKEND6, BACKENDS, CLIENT, CLIENT6, Case, EDGE, GATEWAY, GW, GW6, INSIDE, OWN, OWN6, SERVICE,
                     SERVICE6, built, error_about, error_passed, from_backend, from_client, icmp_error_of, reset_of, returned,
                     rewritten)

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


SERVICES = {4: (SERVICE, BACKENDS[0], CLIENT), 6: (SERVICE6, BACKEND6, CLIENT6)}
DNAT = f"""
runtime: {{ workers: [0], flows: 1024 }}
interfaces:
  edge: {{ device: net_null0, addresses: [{OWN}/24, "{OWN6}/64"], gateway: [{GW}, "{GW6}"] }}
neighbors:
  - {{ interface: edge, address: {GW}, mac: "{GATEWAY}" }}
  - {{ interface: edge, address: "{GW6}", mac: "{GATEWAY}" }}
  - {{ interface: edge, address: {BACKENDS[0]}, mac: "{B1}" }}
  - {{ interface: edge, address: "{BACKEND6}", mac: "{B1}" }}
pools:
  web: {{ backends: [ {{ name: web1, address: {BACKENDS[0]}, port: 8080 }} ] }}
  web6: {{ backends: [ {{ name: web1, address: "{BACKEND6}", port: 8080 }} ] }}
services:
  web: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp"], forward: {{ mode: dnat, pool: web }} }}
  web6: {{ listen: ["[{SERVICE6}]:80/tcp", "[{SERVICE6}]:53/udp"], forward: {{ mode: dnat, pool: web6 }} }}
"""


def to_backend(packet, sport, backend, client, mac=B1, mac_src=EDGE):
    """The destination alone is another."""
    return rewritten(packet, src=client, sport=sport, dst=backend, dport=8080, mac_src=mac_src, mac_dst=mac)


def dnat_exchange(c, service, backend, client, to_us=EDGE, interface="edge"):
    def ask(inner):
        packet = c.receive(from_client(inner, dst=service))
        c.expect(to_backend(packet, inner.sport, backend, client, mac_src=to_us), interface)

    def answer(inner, service_port):
        packet = c.receive(from_backend(inner, backend=backend, own=client, to=to_us), interface)
        c.expect(returned(packet, inner.dport, client=client, service=service, service_port=service_port))

    ask(TCP(sport=40000, dport=80, flags="S", seq=1000, options=[("MSS", 1460), ("Timestamp", (7, 0))]))
    answer(TCP(sport=8080, dport=40000, flags="SA", seq=9000, ack=1001, options=[("MSS", 1460)]), 80)
    ask(TCP(sport=40000, dport=80, flags="PA", seq=1001, ack=9001) / b"GET / HTTP/1.0\r\n\r\n!")
    answer(TCP(sport=8080, dport=40000, flags="PA", seq=9001, ack=1020) / (b"\xff" * 999), 80)
    answer(TCP(sport=8080, dport=40000, flags="FA", seq=10000, ack=1020), 80)
    ask(TCP(sport=40000, dport=80, flags="FA", seq=1020, ack=10001))
    ask(UDP(sport=5353, dport=53) / b"query")
    answer(UDP(sport=8080, dport=5353) / b"an answer", 53)


@case
def dnat4_exchange():
    c = Case(DNAT)
    dnat_exchange(c, *SERVICES[4])
    return c


@case
def dnat6_exchange():
    c = Case(DNAT)
    dnat_exchange(c, *SERVICES[6])
    return c


@case
def dnat_with_two_interfaces():
    c = Case(f"""
runtime: {{ workers: [0, 0, 1], flows: 1024 }}
interfaces:
  edge: {{ device: net_null0, addresses: {OWN}/24, gateway: {GW} }}
  inside: {{ device: net_null1, addresses: 192.0.2.130/25 }}
neighbors:
  - {{ interface: edge, address: {GW}, mac: "{GATEWAY}" }}
  - {{ interface: inside, address: 192.0.2.131, mac: "{B1}" }}
pools:
  web: {{ backends: [ {{ name: web1, address: 192.0.2.131, port: 8080 }} ] }}
services:
  web: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp"], forward: {{ mode: dnat, pool: web }} }}
""", two=True)
    dnat_exchange(c, SERVICE, "192.0.2.131", CLIENT, INSIDE, "inside")
    return c


@case
def dnat_udp4_without_checksum_stays_without():
    c = Case(DNAT)
    query = c.receive(from_client(UDP(sport=5353, dport=53, chksum=0) / b"query"))
    expected = to_backend(query, 5353, BACKENDS[0], CLIENT)
    expected[UDP].chksum = 0
    c.expect(built(expected))
    return c


@case
def dnat_is_a_hop():
    """TTLs end here in both directions: each side is told by an address of ours on its side."""
    c = Case(DNAT)
    for (service, backend, client), own, hop, error in (
            (SERVICES[4], OWN, "ttl", {"icmp4": ICMP(type=11, code=0)}),
            (SERVICES[6], OWN6, "hlim", {"icmp6": ICMPv6TimeExceeded(code=0)})):
        late = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1), dst=service, **{hop: 1}))
        c.expect(icmp_error_of(late, src=own, **error))
        late = c.receive(from_backend(TCP(sport=8080, dport=40000, flags="A", seq=1), backend=backend, own=client, **{hop: 1}))
        c.expect(icmp_error_of(late, src=own, **error))
    c.drop("ttl_expired", 4)
    return c


def dnat_errors(c, service, backend, client, router, far_router):
    """An error leaves for the client as from the service, whoever made it: backends are not known there. To the backend it
    keeps its source: the backend has a way to it."""
    kinds = [(ICMP(type=3, code=4, nexthopmtu=1400), ICMPv6PacketTooBig(mtu=1400)),
             (ICMP(type=3, code=3), ICMPv6DestUnreach(code=4)), (ICMP(type=11, code=0), ICMPv6TimeExceeded(code=0))]
    for question, answer, port in (
            (TCP(sport=40000, dport=80, flags="S", seq=7) / (b"x" * 101), TCP(sport=8080, dport=40000, flags="SA", seq=9), 80),
            (UDP(sport=5353, dport=53) / (b"x" * 101), UDP(sport=8080, dport=5353) / b"answer", 53)):
        asked = c.receive(from_client(question, dst=service))
        inside = to_backend(asked, question.sport, backend, client)
        c.expect(inside)
        answered = c.receive(from_backend(answer, backend=backend, own=client))
        outside = returned(answered, question.sport, client=client, service=service, service_port=port)
        c.expect(outside)
        for kind in kinds:
            for hop in (router, backend):
                error = c.receive(error_about(inside, *kind, src=hop, mac=B2))
                c.expect(error_passed(error, asked, *kind, src=service, mac=GATEWAY))
            for hop in (far_router, client):
                error = c.receive(error_about(outside, *kind, src=hop, mac=GATEWAY))
                c.expect(error_passed(error, answered, *kind, src=hop, mac=B1))


@case
def dnat_icmp4_errors_about_a_flow():
    c = Case(DNAT)
    dnat_errors(c, *SERVICES[4], "198.51.100.12", "192.0.2.254")
    return c


@case
def dnat_icmp6_errors_about_a_flow():
    c = Case(DNAT)
    dnat_errors(c, *SERVICES[6], "2001:db8:1::12", "2001:db8:99::fe")
    return c


@case
def dnat_forwards_nothing_else():
    """sluice is no router: what a backend sends from another port than the service's stays here."""
    c = Case(DNAT)
    c.receive(from_backend(TCP(sport=40000, dport=443, flags="S", seq=1), own=CLIENT))
    c.receive(from_backend(UDP(sport=5353, dport=53) / b"query", own="192.0.2.99"))
    c.receive(from_backend(TCP(sport=8080, dport=40000, flags="SA", seq=1), backend=BACKENDS[1], own=CLIENT))
    c.receive(from_backend(TCP(sport=40000, dport=443, flags="S", seq=1), backend=BACKEND6, own=CLIENT6))
    c.drop("not_for_us", 4)
    return c


@case
def dnat_a_clients_port_is_taken_once():
    """Two services before one backend: towards it the client's two connections would be one."""
    c = Case(DNAT.replace(f'"{SERVICE}:80/tcp"', f'"{SERVICE}:80/tcp", "{SERVICE}:81/tcp"'))
    first = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1)))
    c.expect(to_backend(first, 40000, BACKENDS[0], CLIENT))
    second = c.receive(from_client(TCP(sport=40000, dport=81, flags="S", seq=1)))
    c.expect(reset_of(second))
    third = c.receive(from_client(TCP(sport=40001, dport=81, flags="S", seq=1)))
    c.expect(to_backend(third, 40001, BACKENDS[0], CLIENT))
    for port, service_port in ((40001, 81), (40000, 80)):
        reply = c.receive(from_backend(TCP(sport=8080, dport=port, flags="SA", seq=5, ack=2), own=CLIENT))
        c.expect(returned(reply, port, service_port=service_port))
    c.receive(from_backend(TCP(sport=8080, dport=40002, flags="SA", seq=5, ack=2), own=CLIENT))
    c.drop("dnat_tuple_taken")
    c.drop("nat_no_reply_flow")
    return c
