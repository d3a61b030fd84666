"""Golden cases of `dnat`, and of `nat` between IPv4 and IPv6. make_cases.py writes them."""

from scapy.all import (ICMP, IP, TCP, UDP, Ether, ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6ParamProblem,
                       ICMPv6TimeExceeded, IPOption_LSRR, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrRouting, PadN, Raw, raw)

from packets import (B1, B2, BACKEND6, BACKENDS, Case, Cases, CLIENT, CLIENT6, EDGE, GATEWAY, GW, GW6, INSIDE, NAT,
                     ONE_ARM, OWN, OWN6, SERVICE, SERVICE6, built, error_about, error_passed, from_backend,
                     from_client, icmp_error_of, reset_of, returned, rewritten)

CASES = case = Cases()


SERVICES = {4: (SERVICE, BACKENDS[0], CLIENT), 6: (SERVICE6, BACKEND6, CLIENT6)}
DNAT = ONE_ARM + f"""neighbors:
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
    # A client that writes the backend's address as its own source resets nobody.
    c.receive(from_client(TCP(sport=8080, dport=40000, flags="R", seq=9001), src="192.0.2.131", dst=CLIENT))
    c.drop("not_for_us")
    c.receive(from_client(TCP(sport=8080, dport=40009, flags="R", seq=9001), src="192.0.2.131", dst=CLIENT))
    c.drop("not_for_us")
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


# ---- between the families ----

FAMILIES = f"""
runtime: {{ workers: [0], flows: 1024 }}
interfaces:
  edge: {{ device: net_null0, addresses: [{OWN}/24, "{OWN6}/64"], gateway: [{GW}, "{GW6}"] }}
neighbors:
  - {{ interface: edge, address: {GW}, mac: "{GATEWAY}" }}
  - {{ interface: edge, address: "{GW6}", mac: "{GATEWAY}" }}
  - {{ interface: edge, address: {BACKENDS[0]}, mac: "{B1}" }}
  - {{ interface: edge, address: "{BACKEND6}", mac: "{B1}" }}
pools:
  four: {{ backends: [ {{ name: web1, address: {BACKENDS[0]}, port: 8080 }} ] }}
  six: {{ backends: [ {{ name: web1, address: "{BACKEND6}", port: 8080 }} ] }}
services:
  to4: {{ listen: ["[{SERVICE6}]:80/tcp", "[{SERVICE6}]:53/udp"], forward: {{ mode: nat, pool: four }} }}
  to6: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp"], forward: {{ mode: nat, pool: six }} }}
"""
# The client's family names the case: service, client, our source, backend.
TO4 = (SERVICE6, CLIENT6, OWN, BACKENDS[0])
TO6 = (SERVICE, CLIENT, OWN6, BACKEND6)


def as_ip4(packet):
    """RFC 7915 section 5.1: what is small may be cut, and needs an identifier; sluice takes the checksum of layer 4."""
    packet = built(packet)
    if packet[IP].len > 1260:
        packet[IP].flags = "DF"
    else:
        packet[IP].id = (packet[TCP] if packet.haslayer(TCP) else packet[UDP] if packet.haslayer(UDP) else packet[ICMP]).chksum
    del packet[IP].chksum
    return built(packet)


def translated(packet, *, src, sport, dst, dport, mac):
    """RFC 7915 sections 4.1 and 5.1: a new IP header, the same layer 4 but for ports and checksum."""
    l4 = (packet[TCP] if packet.haslayer(TCP) else packet[UDP]).copy()
    l4.sport, l4.dport = sport, dport
    del l4.chksum
    link = Ether(src=EDGE, dst=mac)
    if packet.haslayer(IP):
        return built(link / IPv6(src=src, dst=dst, hlim=packet[IP].ttl - 1, tc=packet[IP].tos) / l4)
    return as_ip4(link / IP(src=src, dst=dst, ttl=packet[IPv6].hlim - 1, tos=packet[IPv6].tc, id=0) / l4)


def translated_to_backend(packet, nat, own, backend):
    return translated(packet, src=own, sport=NAT(nat), dst=backend, dport=8080, mac=B1)


def translated_to_client(packet, port, service, client, service_port=80):
    return translated(packet, src=service, sport=service_port, dst=client, dport=port, mac=GATEWAY)


def exchange_between_families(c, service, client, own, backend):
    hop = "hlim" if ":" in service else "ttl"
    dscp = "tc" if ":" in service else "tos"

    def ask(nat, inner, **ip):
        packet = c.receive(from_client(inner, dst=service, **ip))
        c.expect(translated_to_backend(packet, nat, own, backend))

    def answer(inner, port, service_port=80):
        packet = c.receive(from_backend(inner, backend=backend, own=own))
        c.expect(translated_to_client(packet, port, service, client, service_port))

    ask(1, TCP(sport=40000, dport=80, flags="S", seq=1000, options=[("MSS", 1440), ("SAckOK", b""), ("Timestamp", (7, 0))]),
        **{dscp: 0xB9})
    answer(TCP(sport=8080, dport=NAT(1), flags="SA", seq=9000, ack=1001, options=[("MSS", 1460)]), 40000)
    ask(1, TCP(sport=40000, dport=80, flags="A", seq=1001, ack=9001), **{hop: 2})
    ask(1, TCP(sport=40000, dport=80, flags="PA", seq=1001, ack=9001) / b"GET / HTTP/1.0\r\n\r\n!")
    for length in (999, 1220, 1221, 1440):  # 1260 bytes of IPv4, one more, and as much as both families carry
        answer(TCP(sport=8080, dport=NAT(1), flags="PA", seq=9001, ack=1020) / (b"\xff" * length), 40000)
        ask(1, TCP(sport=40000, dport=80, flags="PA", seq=1020, ack=9001) / (b"\x00" * length))
    answer(TCP(sport=8080, dport=NAT(1), flags="FA", seq=13000, ack=1020), 40000)
    ask(1, TCP(sport=40000, dport=80, flags="FA", seq=1020, ack=13001))
    answer(TCP(sport=8080, dport=NAT(1), flags="A", seq=13001, ack=1021), 40000)
    ask(2, UDP(sport=5353, dport=53) / b"query")
    answer(UDP(sport=8080, dport=NAT(2)) / b"an answer", 5353, 53)


@case
def nat64_exchange():
    c = Case(FAMILIES)
    exchange_between_families(c, *TO4)
    return c


@case
def nat46_exchange():
    c = Case(FAMILIES)
    exchange_between_families(c, *TO6)
    return c


@case
def nat46_udp_without_checksum_gets_one():
    """RFC 7915 section 4.5: over IPv6 there must be one. (Backends of IPv4 may leave it out in their answers.)"""
    c = Case(FAMILIES)
    query = c.receive(from_client(UDP(sport=5353, dport=53, chksum=0) / b"query"))
    c.expect(translated_to_backend(query, 1, OWN6, BACKEND6))
    query = c.receive(from_client(UDP(sport=5353, dport=53) / b"query", dst=SERVICE6))
    c.expect(translated_to_backend(query, 2, OWN, BACKENDS[0]))
    answer = c.receive(from_backend(UDP(sport=8080, dport=NAT(2), chksum=0) / b"answer"))
    c.expect(translated_to_client(answer, 5353, SERVICE6, CLIENT6, 53))
    return c


@case
def nat64_extension_headers_and_options_go():
    """RFC 7915 sections 4.1 and 5.1.1: they have no place in the other header. One that asks for a way is not passed by."""
    c = Case(FAMILIES)
    inner = TCP(sport=40000, dport=80, flags="S", seq=1)
    packet = c.receive(from_client(IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 12)]) / inner, dst=SERVICE6))
    c.expect(translated_to_backend(packet, 1, OWN, BACKENDS[0]))
    packet = c.receive(from_client(inner, options=[b"\x01" * 40]))
    c.expect(translated_to_backend(packet, 2, OWN6, BACKEND6))
    c.receive(from_client(IPv6ExtHdrRouting(type=4, segleft=1, addresses=["2001:db8::1"]) / inner, dst=SERVICE6))
    c.receive(from_client(inner, options=[IPOption_LSRR(routers=["192.0.2.1"])]))
    query = from_client(UDP(sport=5353, dport=53) / b"query", dst=SERVICE6)
    query[UDP].chksum = 0
    c.receive(query)
    c.drop("untranslatable", 2)
    c.drop("ip_options")  # the source route
    return c


@case
def nat64_source_addresses_of_the_service():
    """`forward.source` is of the backends' family."""
    config = FAMILIES.replace("pool: four }", "pool: four, source: 198.51.100.200 }").replace(
        "pool: six }", 'pool: six, source: "2001:db8:1::200" }')
    c = Case(config)
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1), dst=SERVICE6))
    c.expect(translated_to_backend(syn, 1, "198.51.100.200", BACKENDS[0]))
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1)))
    c.expect(translated_to_backend(syn, 2, "2001:db8:1::200", BACKEND6))
    return c


@case
def nat64_is_a_hop():
    """TTLs end here both ways; who is told is told in its own family."""
    c = Case(FAMILIES)
    for nat, (service, client, own, backend) in enumerate((TO4, TO6), start=1):
        near, far = (OWN6, OWN) if ":" in service else (OWN, OWN6)
        errors = {"icmp4": ICMP(type=11, code=0), "icmp6": ICMPv6TimeExceeded(code=0)}
        syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1), dst=service))
        c.expect(translated_to_backend(syn, nat, own, backend))
        late = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1), dst=service,
                                     **{"hlim" if ":" in service else "ttl": 1}))
        c.expect(icmp_error_of(late, src=near, **errors))
        late = c.receive(from_backend(TCP(sport=8080, dport=NAT(nat), flags="SA", seq=1), backend=backend, own=own,
                                      **{"hlim" if ":" in own else "ttl": 1}))
        c.expect(icmp_error_of(late, src=far, **errors))
    c.drop("ttl_expired", 4)
    return c


@case
def nat64_larger_than_the_way_out():
    """The sender is told what fits once its packet is of the other family: 20 bytes more of IPv6, 20 less of IPv4."""
    c = Case(FAMILIES.replace(f'addresses: [{OWN}/24, "{OWN6}/64"]', f'mtu: 1400, addresses: [{OWN}/24, "{OWN6}/64"]'))
    packet = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * 1352), flags="DF"))  # 1,380 bytes
    c.expect(translated_to_backend(packet, 1, OWN6, BACKEND6))
    packet = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * 1353), flags="DF"))
    c.expect(icmp_error_of(packet, ICMP(type=3, code=4, nexthopmtu=1380), src=OWN))
    packet = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * 1372), dst=SERVICE6))  # 1,420 bytes
    c.expect(translated_to_backend(packet, 2, OWN, BACKENDS[0]))
    packet = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * 1373), dst=SERVICE6))
    c.expect(icmp_error_of(packet, icmp6=ICMPv6PacketTooBig(mtu=1420), src=OWN6))
    c.drop("too_big", 2)
    return c


def in_fragments6(packet, mtu, ident):
    """RFC 8200 section 4.5: an IPv6 packet in fragments of at most `mtu` bytes."""
    ip, size = packet[IPv6], (mtu - 48) // 8 * 8
    payload = raw(ip)[40:]
    return [built(Ether(src=packet.src, dst=packet.dst) / IPv6(src=ip.src, dst=ip.dst, hlim=ip.hlim, tc=ip.tc)
                  / IPv6ExtHdrFragment(nh=ip.nh, offset=at // 8, m=int(at + size < len(payload)), id=ident)
                  / Raw(payload[at:at + size])) for at in range(0, len(payload), size)]


@case
def nat46_in_fragments():
    """RFC 7915 section 4: what IPv4 allows to be cut is cut for IPv6. Their identifier: the port of the flow's end, then
    that of IPv4 (a placeholder is one there too)."""
    c = Case(FAMILIES.replace(f'addresses: [{OWN}/24, "{OWN6}/64"]', f'mtu: 1400, addresses: [{OWN}/24, "{OWN6}/64"]'))
    packet = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * 1352), id=0x1234))  # 1,380 bytes
    c.expect(translated_to_backend(packet, 1, OWN6, BACKEND6))
    for size, options in (1353, []), (1372, []), (1352, [b"\x01" * 4]), (1353, [b"\x01" * 4]):
        packet = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * size), id=0x1234, tos=0xb9, options=options))
        out = translated_to_backend(packet, 1, OWN6, BACKEND6)
        for piece in in_fragments6(out, 1400, 1 << 16 | 0x1234) if size > 1352 else [out]:
            c.expect(piece)
    # The checksum that it has not is made over the whole.
    packet = c.receive(from_client(UDP(sport=5353, dport=53, chksum=0) / (b"x" * 1372), id=0x1235))
    for piece in in_fragments6(translated_to_backend(packet, 1, OWN6, BACKEND6), 1400, 1 << 16 | 0x1235):
        c.expect(piece)
    # A backend of IPv4 answers a client of IPv6.
    packet = c.receive(from_client(UDP(sport=5353, dport=53) / b"query", dst=SERVICE6))
    c.expect(translated_to_backend(packet, 2, OWN, BACKENDS[0]))
    packet = c.receive(from_backend(UDP(sport=8080, dport=NAT(2)) / (b"x" * 1372), id=9))
    for piece in in_fragments6(translated_to_client(packet, 5353, SERVICE6, CLIENT6, 53), 1400, 5353 << 16 | 9):
        c.expect(piece)
    return c


def error_translated(error, original, icmp4=None, icmp6=None, *, src, mac, quote=None):
    """RFC 7915 sections 4.2 and 5.2: the error that the sender of `original` understands; `quote` bytes of its layer 4."""
    original = original.copy()
    ip = original[IP] if original.haslayer(IP) else original[IPv6]
    l4 = raw(ip.payload)[:quote]
    link = Ether(src=EDGE, dst=mac)
    if original.haslayer(IP):
        quoted = built(IP(src=ip.src, dst=ip.dst, ttl=ip.ttl - 1, tos=ip.tos, id=0, len=ip.len, proto=ip.proto) / Raw(l4))
        return as_ip4(link / IP(src=src, dst=ip.src, ttl=error[IPv6].hlim - 1, id=0) / icmp4 / Raw(raw(quoted)))
    quoted = IPv6(src=ip.src, dst=ip.dst, hlim=ip.hlim - 1, tc=ip.tc, plen=ip.plen, nh=ip.nh) / Raw(l4)
    return built(link / IPv6(src=src, dst=ip.src, hlim=error[IP].ttl - 1) / icmp6 / Raw(raw(quoted)))


# Of an error in either family, what it is in the other; the MTU of the interface is 1500.
TO_IP6 = [(ICMP(type=3, code=4, nexthopmtu=1400), ICMPv6PacketTooBig(mtu=1420)),
          (ICMP(type=3, code=4, nexthopmtu=1000), ICMPv6PacketTooBig(mtu=1280)),
          (ICMP(type=3, code=1), ICMPv6DestUnreach(code=0)), (ICMP(type=3, code=2), ICMPv6ParamProblem(code=1, ptr=6)),
          (ICMP(type=3, code=3), ICMPv6DestUnreach(code=4)), (ICMP(type=3, code=13), ICMPv6DestUnreach(code=1)),
          (ICMP(type=11, code=0), ICMPv6TimeExceeded(code=0)), (ICMP(type=12, code=0, ptr=8), ICMPv6ParamProblem(code=0, ptr=7))]
TO_IP4 = [(ICMPv6PacketTooBig(mtu=1400), ICMP(type=3, code=4, nexthopmtu=1380)),
          (ICMPv6PacketTooBig(mtu=9000), ICMP(type=3, code=4, nexthopmtu=1480)),
          (ICMPv6DestUnreach(code=0), ICMP(type=3, code=1)), (ICMPv6DestUnreach(code=1), ICMP(type=3, code=10)),
          (ICMPv6DestUnreach(code=4), ICMP(type=3, code=3)), (ICMPv6TimeExceeded(code=0), ICMP(type=11, code=0)),
          (ICMPv6ParamProblem(code=0, ptr=7), ICMP(type=12, code=0, ptr=8)),
          (ICMPv6ParamProblem(code=1, ptr=6), ICMP(type=3, code=2))]


def errors_between_families(c, service, client, own, backend, router, far_router):
    def kinds(packet):  # of an error about the packet, and of the same error in the other family
        if packet.haslayer(IP):
            return [({"icmp4": one}, {"icmp6": other}) for one, other in TO_IP6]
        return [({"icmp6": one}, {"icmp4": other}) for one, other in TO_IP4]

    flows = [(TCP(sport=40000, dport=80, flags="S", seq=7) / (b"x" * 101), TCP(sport=8080, dport=NAT(1), flags="SA", seq=9), 80),
             (UDP(sport=5353, dport=53) / (b"x" * 101), UDP(sport=8080, dport=NAT(2)) / b"answer", 53)]
    for number, (question, reply, port) in enumerate(flows, start=1):
        asked = c.receive(from_client(question, dst=service))
        inside = translated_to_backend(asked, number, own, backend)
        c.expect(inside)
        answered = c.receive(from_backend(reply, backend=backend, own=own))
        outside = translated_to_client(answered, question.sport, service, client, port)
        c.expect(outside)
        for about, original, hops, mac, to_mac, source in (
                (inside, asked, (router, backend), B2, GATEWAY, service),
                (outside, answered, (far_router, client), GATEWAY, B1, own)):
            for one, other in kinds(about):
                for quote, hop in ((None, hops[0]), (8, hops[1])):
                    headers = 20 if about.haslayer(IP) else 40
                    error = c.receive(error_about(about, src=hop, mac=mac, quote=quote and headers + quote, **one))
                    c.expect(error_translated(error, original, src=source, mac=to_mac, quote=quote, **other))
        # What the other family does not know.
        if inside.haslayer(IP):
            c.receive(error_about(inside, ICMP(type=3, code=14), src=router, mac=B2))
        else:
            c.receive(error_about(inside, icmp6=ICMPv6ParamProblem(code=2, ptr=40), src=router, mac=B2))
        c.drop("icmp_unhandled")


@case
def nat64_icmp_errors_about_a_flow():
    c = Case(FAMILIES)
    errors_between_families(c, *TO4, BACKENDS[1], "2001:db8:99::fe")
    return c


@case
def nat46_icmp_errors_about_a_flow():
    c = Case(FAMILIES)
    errors_between_families(c, *TO6, "2001:db8:1::12", "192.0.2.254")
    return c
