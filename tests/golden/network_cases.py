"""Golden cases of the network around: VLANs, fragments. make_cases.py writes them."""

from scapy.all import (ARP, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest,
                       ICMPv6PacketTooBig, IPOption, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                       IPv6ExtHdrRouting, PadN, Raw, raw)

from packets import (B1, B2, BACKEND6, BACKENDS, BROADCAST, Case, Cases, CLIENT, CLIENT6, EDGE, GATEWAY, GW, GW6,
                     INSIDE, NAT, NEAR, NEAR6, OWN, OWN6, OWN_INSIDE, OWN_INSIDE6, SERVICE, SERVICE6, SIMPLE, built,
                     cut_to_fit, forwarded, from_backend, from_client, handed_on, icmp_error_of, returned, rewritten,
                     two_armed, with_checksums)
from tunnel_cases import inner_of, link, outer_ip, spread_hash, tunnel_config

CASES = case = Cases()


def tagged(packet, vlan, inner=None, prio=0):
    """The same frame with one tag, or with two: IEEE 802.1Q figures 9-1 and 9-2."""
    link = Ether(src=packet[Ether].src, dst=packet[Ether].dst)
    tags = Dot1Q(vlan=vlan, prio=prio) if inner is None else Dot1AD(vlan=vlan, prio=prio) / Dot1Q(vlan=inner, prio=prio)
    out = built(link / tags / packet[Ether].payload)
    out.time = packet.time
    return out


# Clients on VLAN 10, backends on VLAN 20 of the same device, IPv6 backends behind two tags.
WEB, WEB6 = "192.0.2.131", "2001:db8:3::11"
OWN_WEB, OWN_WEB6 = "192.0.2.130", "2001:db8:3::2"
VLANS = f"""
runtime: {{ workers: [0], flows: 1024 }}
interfaces:
  edge: {{ device: net_null0 }}
  clients: {{ parent: edge, vlan: 10, addresses: [198.51.100.2/24, "2001:db8:1::2/64"], gateway: [{GW}, "{GW6}"] }}
  web: {{ parent: edge, vlan: 20, addresses: {OWN_WEB}/25 }}
  web6: {{ parent: edge, vlan: [30, 7], addresses: "{OWN_WEB6}/64" }}
neighbors:
  - {{ interface: clients, address: {GW}, mac: "{GATEWAY}" }}
  - {{ interface: clients, address: "{GW6}", mac: "{GATEWAY}" }}
  - {{ interface: web, address: {WEB}, mac: "{B1}" }}
  - {{ interface: web6, address: "{WEB6}", mac: "{B2}" }}
pools:
  web: {{ backends: [ {{ name: web1, address: {WEB}, port: 8080 }} ] }}
  web6: {{ backends: [ {{ name: web1, address: "{WEB6}", port: 8080 }} ] }}
services:
  web: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp"], forward: {{ mode: nat, pool: web }} }}
  web6: {{ listen: ["[{SERVICE6}]:80/tcp", "[{SERVICE6}]:53/udp"], forward: {{ mode: nat, pool: web6 }} }}
"""


@case
def vlan4_between_two():
    """One-armed by VLANs: in by one, out by another. The client's priority stays on its side."""
    c = Case(VLANS)
    syn = from_client(TCP(sport=40000, dport=80, flags="S", seq=1000))
    c.receive(tagged(syn, 10, prio=5))
    c.expect(tagged(forwarded(syn, 1, backend=WEB, own=OWN_WEB), 20))
    answer = from_backend(TCP(sport=8080, dport=NAT(1), flags="SA", seq=9000, ack=1001), backend=WEB, own=OWN_WEB)
    c.receive(tagged(answer, 20))
    c.expect(tagged(returned(answer, 40000), 10))
    # Only addresses tell where a packet belongs: what comes by another VLAN is the flow's too.
    data = from_client(TCP(sport=40000, dport=80, flags="A", seq=1001, ack=9001) / b"x")
    c.receive(tagged(data, 20))
    c.expect(tagged(forwarded(data, 1, backend=WEB, own=OWN_WEB), 20))
    return c


@case
def vlan6_of_two_tags():
    c = Case(VLANS)
    query = from_client(UDP(sport=5353, dport=53) / b"query", dst=SERVICE6)
    c.receive(tagged(query, 10))
    c.expect(tagged(forwarded(query, 1, backend=WEB6, own=OWN_WEB6, mac=B2), 30, 7))
    answer = from_backend(UDP(sport=8080, dport=NAT(1)) / b"an answer", backend=WEB6, own=OWN_WEB6, mac=B2)
    c.receive(tagged(answer, 30, 7))
    c.expect(tagged(returned(answer, 5353, client=CLIENT6, service=SERVICE6, service_port=53), 10))
    return c


@case
def vlan_answers_and_strangers():
    """ARP, echo and refusals go back by the VLAN they came by; tags of nobody are dropped."""
    c = Case(VLANS)
    ask = built(Ether(src=B1, dst=BROADCAST) / ARP(op=1, hwsrc=B1, psrc=WEB, pdst=OWN_WEB))
    c.receive(tagged(ask, 20))
    c.expect(tagged(built(Ether(src=EDGE, dst=B1) / ARP(op=2, hwsrc=EDGE, psrc=OWN_WEB, hwdst=B1, pdst=WEB)), 20))
    c.receive(tagged(ask, 10))  # not that network's
    c.receive(ask)
    c.drop("arp_not_for_us", 2)
    c.receive(tagged(from_backend(ICMP(id=7, seq=3) / b"abcdefg", backend=WEB, own=OWN_WEB), 20, prio=3))
    c.expect(tagged(built(Ether(src=EDGE, dst=B1) / IP(src=OWN_WEB, dst=WEB, ttl=64) / ICMP(type=0, id=7, seq=3) /
                          b"abcdefg"), 20))
    c.receive(tagged(from_backend(ICMPv6EchoRequest(id=7, seq=3, data=b"abcdefg"), backend=WEB6, own=OWN_WEB6, mac=B2), 30, 7))
    c.expect(tagged(built(Ether(src=EDGE, dst=B2) / IPv6(src=OWN_WEB6, dst=WEB6, hlim=64) /
                          ICMPv6EchoReply(id=7, seq=3, data=b"abcdefg")), 30, 7))
    syn = from_client(TCP(sport=40000, dport=80, flags="S", seq=1000))
    c.receive(tagged(syn, 11))
    c.receive(tagged(syn, 30))
    c.receive(tagged(syn, 30, 8))
    c.receive(tagged(syn, 10, 7))
    c.drop("vlan_unknown", 4)
    three = tagged(syn, 30, 7)
    c.receive(built(Ether(src=GATEWAY, dst=EDGE) / Dot1Q(vlan=10) / Dot1Q(vlan=20) / Dot1Q(vlan=30) / raw(syn[IP])))
    c.drop("ether_type_unknown")
    c.receive(built(Ether(raw(three)[:20])))  # cut inside of its second tag
    c.drop("link_truncated")
    # A tag of identifier 0 says a priority and nothing else.
    c.receive(built(Ether(src=GATEWAY, dst=EDGE) / Dot1Q(vlan=10) / Dot1Q(vlan=0, prio=6) / syn[IP]))
    c.expect(tagged(forwarded(syn, 1, backend=WEB, own=OWN_WEB), 20))
    return c


@case
def vlan_of_an_asked_neighbour():
    """ARP requests have the tag, and so has what waited for the answer."""
    c = Case(VLANS.replace(f'  - {{ interface: web, address: {WEB}, mac: "{B1}" }}\n', ""))
    query = from_client(UDP(sport=5353, dport=53) / b"query")
    c.receive(tagged(query, 10))
    c.expect(tagged(built(Ether(src=EDGE, dst=BROADCAST) / ARP(op=1, hwsrc=EDGE, psrc=OWN_WEB, pdst=WEB)), 20))
    c.receive(tagged(built(Ether(src=B1, dst=EDGE) / ARP(op=2, hwsrc=B1, psrc=WEB, hwdst=EDGE, pdst=OWN_WEB)), 20))
    c.expect(tagged(forwarded(query, 1, backend=WEB, own=OWN_WEB), 20))
    return c


# ---- fragments ----


def cut(packet, size, ident=7):
    """RFC 791 section 3.2, RFC 8200 section 4.5: what a sender makes of a packet where `size` bytes of its payload go into one."""
    link = Ether(src=packet[Ether].src, dst=packet[Ether].dst)
    ip = packet[IP] if packet.haslayer(IP) else packet[IPv6]
    payload = raw(ip)[20:] if packet.haslayer(IP) else raw(ip)[40:]
    out = []
    for at in range(0, len(payload), size):
        part, more = payload[at:at + size], at + size < len(payload)
        if packet.haslayer(IP):
            head = IP(src=ip.src, dst=ip.dst, ttl=ip.ttl, tos=ip.tos, proto=ip.proto, id=ident, frag=at // 8,
                      flags="MF" if more else 0)
        else:
            head = IPv6(src=ip.src, dst=ip.dst, hlim=ip.hlim) / IPv6ExtHdrFragment(nh=ip.nh, offset=at // 8, m=int(more), id=ident)
        out.append(built(link / head / Raw(part)))
    return out


FAMILIES = {
    4: {"dst": SERVICE, "backend": BACKENDS[0], "own": OWN, "client": CLIENT},
    6: {"dst": SERVICE6, "backend": BACKEND6, "own": OWN6, "client": CLIENT6},
}


def datagram(family, sport=5353, size=4000):
    return from_client(UDP(sport=sport, dport=53) / bytes(i & 255 for i in range(size)), dst=FAMILIES[family]["dst"])


def to_backend(packet, nat, family):
    names = FAMILIES[family]
    return forwarded(packet, nat, backend=names["backend"], own=names["own"])


def fragments_of_an_exchange(family):
    """Each fragment is rewritten, the checksum of layer 4 in the first one alone; so the whole is what it would have been."""
    c = Case(SIMPLE, fresh_ids=True)
    names = FAMILIES[family]
    query = datagram(family)
    for got, sent in zip(cut(query, 1480 - 48), cut(to_backend(query, 1, family), 1480 - 48)):
        c.receive(got)
        c.expect(sent)
    answer = from_backend(UDP(sport=8080, dport=NAT(1)) / (b"y" * 3001), backend=names["backend"], own=names["own"])
    back = returned(answer, 5353, client=names["client"], service=names["dst"], service_port=53)
    for got, sent in zip(cut(answer, 1232, 0x99), cut(back, 1232, 0x99)):
        c.receive(got)
        c.expect(sent)
    return c


@case
def fragments4_of_a_datagram_and_its_answer():
    return fragments_of_an_exchange(4)


@case
def fragments6_of_a_datagram_and_its_answer():
    return fragments_of_an_exchange(6)


@case
def fragments_that_come_early_wait():
    """The first one comes last: behind it the others follow, from low to high."""
    c = Case(SIMPLE, fresh_ids=True)
    for number, family in enumerate(FAMILIES, start=1):
        query = datagram(family)
        fragments, sent = cut(query, 1400), cut(to_backend(query, number, family), 1400)
        for got in reversed(fragments):
            c.receive(got)
        for out in sent:
            c.expect(out)
    return c


@case
def fragments_find_the_worker_of_the_flow():
    """A flow's whole packets and its fragments have one NAT port, whichever worker the fragments of a packet meet at."""
    c = Case(SIMPLE.replace("workers: [0]", "workers: [0, 0, 1]").replace("flows: 1024", "flows: 3072"), fresh_ids=True)
    for family in FAMILIES:
        for number in range(1, 5):
            nat, sport = number + (0 if family == 4 else 4), 5000 + number
            whole = datagram(family, sport, 100 + number)
            c.receive(whole)
            c.expect(to_backend(whole, nat, family))
            large = datagram(family, sport, 2000 + number)
            for got, sent in zip(cut(large, 1400, 70 + number), cut(to_backend(large, nat, family), 1400, 70 + number)):
                c.receive(got)
                c.expect(sent)
    return c


@case
def fragments_of_two_clients_with_one_identifier():
    """RFC 6864 section 5.2: they have one source towards the backend, which must not put them together."""
    c = Case(SIMPLE, fresh_ids=True)
    for family, names in FAMILIES.items():
        numbers = (1, 2) if family == 4 else (3, 4)
        source = "192.0.2.77" if family == 4 else "2001:db8:99::77"
        queries = [datagram(family, 5000 + number, 2000 + number) for number in numbers]
        (queries[1][IP] if family == 4 else queries[1][IPv6]).src = source
        queries[1] = with_checksums(queries[1])
        got = [cut(query, 1400, 77) for query in queries]
        sent = [cut(to_backend(query, number, family), 1400, number) for query, number in zip(queries, numbers)]
        for ours, theirs in zip(zip(*sent), zip(*got)):
            for one, other in zip(theirs, ours):
                c.receive(one)
                c.expect(other)
    return c


@case
def fragments_whose_first_is_missing():
    c = Case(SIMPLE)
    for family in FAMILIES:
        for got in cut(datagram(family), 1400)[1:]:
            c.receive(got)
    c.drop("fragment_timeout", 4)
    whole = datagram(4, 5354, 100)
    c.receive(whole, after=3)
    c.expect(to_backend(whole, 1, 4))
    return c


@case
def fragments_that_attack():
    """RFC 1858, RFC 5722: what hides TCP flags from a filter, and what overlaps."""
    c = Case(SIMPLE, fresh_ids=True)
    segment = from_client(TCP(sport=40000, dport=80, flags="S", seq=1, options=[("MSS", 1460)] * 5) / (b"x" * 100))
    c.receive(cut(segment, 16)[0])  # tiny: the flags are in the next one
    c.receive(cut(segment, 8)[1])   # over the flags
    c.drop("fragment", 2)
    segment6 = from_client(TCP(sport=40000, dport=80, flags="S", seq=1) / (b"x" * 100), dst=SERVICE6)
    c.receive(cut(segment6, 16)[0])
    c.receive(cut(segment6, 8)[1])
    c.drop("fragment", 2)
    last = cut(datagram(4), 1400)[-1]
    last[IP].frag, last[IP].flags, last[IP].chksum = 8100, 0, None
    c.receive(built(last))  # ends beyond 65,535 bytes
    c.drop("fragment")
    for number, family in enumerate(FAMILIES, start=1):
        query = datagram(family, size=3000)
        fragments, sent = cut(query, 1200, 21), cut(to_backend(query, number, family), 1200, 21)
        c.receive(fragments[0])
        c.expect(sent[0])
        c.receive(fragments[0])  # the network made a copy
        c.receive(cut(query, 1400, 21)[1])
        c.expect(cut(to_backend(query, number, family), 1400, 21)[1])  # there is a gap before it
        c.receive(fragments[1])  # fills it, and goes over what came
        c.receive(fragments[2])
        c.drop("fragment_overlap", 3)
    return c


def second_first(c, fragments, sent):
    """Of three fragments; they leave once the first one is there."""
    c.receive(fragments[1])
    c.receive(fragments[0])
    c.expect(sent[0])
    c.expect(sent[1])
    c.receive(fragments[2])
    c.expect(sent[2])


@case
def ping_in_fragments():
    """`ping -s 4000`: the reply's fragments are the request's."""
    c = Case(SIMPLE)
    request = from_client(ICMP(id=7, seq=3) / (b"ping" * 1000), dst=SERVICE)
    reply = built(Ether(src=EDGE, dst=GATEWAY) / IP(src=SERVICE, dst=CLIENT, ttl=64) / ICMP(type=0, id=7, seq=3) / (b"ping" * 1000))
    for got, sent in zip(cut(request, 1480), cut(reply, 1480)):
        c.receive(got)
        c.expect(sent)
    for address in (OWN6, SERVICE6):
        request = from_client(ICMPv6EchoRequest(id=7, seq=3, data=b"ping" * 1000), dst=address)
        reply = built(Ether(src=EDGE, dst=GATEWAY) / IPv6(src=address, dst=CLIENT6, hlim=64) /
                      ICMPv6EchoReply(id=7, seq=3, data=b"ping" * 1000))
        fragments, sent = cut(request, 1448), cut(reply, 1448)
        second_first(c, fragments, sent)
    return c


@case
def fragments_to_a_closed_port():
    """Refused once, by the first one (RFC 1812 section 4.3.2.7)."""
    c = Case(SIMPLE)
    for address in (OWN, OWN6):
        fragments = cut(from_client(UDP(sport=5353, dport=9) / (b"x" * 2000), dst=address), 1400)
        c.receive(fragments[0])
        c.expect(icmp_error_of(fragments[0], ICMP(type=3, code=3), ICMPv6DestUnreach(code=4)))
        c.receive(fragments[1])
        c.drop("port_closed", 2)
    return c


@case
def fragments_of_mode_dnat():
    """Whose replies go to the clients' own addresses: only the first fragment says that they are a service's."""
    c = Case(SIMPLE.replace("mode: nat", "mode: dnat"), fresh_ids=True)
    for family, names in FAMILIES.items():
        query = datagram(family)
        out = rewritten(query, src=names["client"], sport=5353, dst=names["backend"], dport=8080, mac_src=EDGE, mac_dst=B1)
        for got, sent in zip(cut(query, 1400), cut(out, 1400)):
            c.receive(got)
            c.expect(sent)
        answer = from_backend(UDP(sport=8080, dport=5353) / (b"y" * 3001), backend=names["backend"], own=names["client"])
        back = returned(answer, 5353, client=names["client"], service=names["dst"], service_port=53)
        fragments, sent = cut(answer, 1232, 0x99), cut(back, 1232, 0x99)
        second_first(c, fragments, sent)
        for stranger in cut(from_backend(UDP(sport=9, dport=5353) / (b"y" * 2000), backend=names["backend"], own=names["client"]), 1400):
            c.receive(stranger)
    c.drop("not_for_us", 4)
    return c


@case
def fragments_of_mode_dsr():
    c = Case(SIMPLE.replace("mode: nat", "mode: dsr").replace(", port: 8080", ""))
    for family in FAMILIES:
        for got in cut(datagram(family), 1400):
            c.receive(got)
            c.expect(handed_on(got, B1))
    return c


# ---- sizes, options, extension headers ----


def jumbo(inside_mtu):
    return two_armed(9216, inside_mtu, f'["{SERVICE}:53/udp", "{SERVICE}:80/tcp"]')


@case
def jumbo_frames_pass():
    """9,216 bytes of IP in one buffer: in by one interface, out by another, and back."""
    c = Case(jumbo(9216), two=True)
    for family, (backend, own) in {4: (NEAR, OWN_INSIDE), 6: (NEAR6, OWN_INSIDE6)}.items():
        names, head = FAMILIES[family], 28 if family == 4 else 48
        query = datagram(family, size=9216 - head)
        c.receive(query)
        nat = 1 if family == 4 else 2
        c.expect(forwarded(query, nat, backend=backend, own=own, mac_src=INSIDE), "inside")
        answer = from_backend(UDP(sport=8080, dport=NAT(nat)) / bytes(9000), backend=backend, own=own, to=INSIDE)
        c.receive(answer, "inside")
        c.expect(returned(answer, 5353, client=names["client"], service=names["dst"], service_port=53))
    return c


@case
def jumbo_frames_to_a_smaller_network():
    """Cut where that is allowed, else the sender is told."""
    c = Case(jumbo(1500), two=True, fresh_ids=True)
    query = from_client(UDP(sport=5353, dport=53) / bytes(i & 255 for i in range(8000)), id=7)
    c.receive(query)
    for part in cut(forwarded(query, 1, backend=NEAR, own=OWN_INSIDE, mac_src=INSIDE), 1480):
        c.expect(part, "inside")
    query = from_client(UDP(sport=5354, dport=53) / bytes(8000), flags="DF")
    c.receive(query)
    c.expect(icmp_error_of(query, ICMP(type=3, code=4, nexthopmtu=1500), src=OWN))
    query = from_client(UDP(sport=5353, dport=53) / bytes(8000), dst=SERVICE6)
    c.receive(query)
    c.expect(icmp_error_of(query, icmp6=ICMPv6PacketTooBig(mtu=1500), src=OWN6))
    # A fragment is cut again, and only the packet's last piece says so.
    large = from_client(UDP(sport=5355, dport=53) / bytes(i * 3 & 255 for i in range(8000)))
    pieces = cut(large, 4000, 8)
    out = cut(forwarded(large, 2, backend=NEAR, own=OWN_INSIDE, mac_src=INSIDE), 4000, 8)
    for got, sent in zip(pieces, out):
        c.receive(got)
        for part in cut_to_fit(sent, 1500):
            c.expect(part, "inside")
    c.drop("too_big", 2)
    return c


@case
def ip4_options_pass():
    """They are the sender's business (RFC 1812 section 4.2.2.1), but for source routes (RFC 7126 section 4.3)."""
    c = Case(SIMPLE)
    record_route = IPOption(b"\x07\x07\x04\x00\x00\x00\x00")
    alert = IPOption(b"\x94\x04\x00\x00")
    query = c.receive(from_client(UDP(sport=5353, dport=53) / b"query", options=[record_route, alert]))
    c.expect(forwarded(query, 1))
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S"), options=[alert]))
    c.expect(forwarded(syn, 2))
    for options in (b"\x83\x07\x04\xc0\x00\x02\x01\x00", b"\x89\x07\x04\xc0\x00\x02\x01\x00", b"\x01\x01\x83\x03",
                    b"\x94\x05\x00\x00", b"\x94\x01\x00\x00", b"\x01\x01\x01\x94"):
        c.receive(from_client(UDP(sport=5353, dport=53) / b"query", options=[IPOption(options)]))
        c.drop("ip_options")
    return c


@case
def ip6_extension_headers_pass():
    """Within a bound: eight headers, 256 bytes (RFC 8200 section 4)."""
    c = Case(SIMPLE)

    def query(*headers):
        packet = Ether(src=GATEWAY, dst=EDGE) / IPv6(src=CLIENT6, dst=SERVICE6)
        for header in headers:
            packet = packet / header
        return built(packet / UDP(sport=5353, dport=53) / b"query")

    hop, options = IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt
    for headers in ([hop()], [options()], [hop(), options()], [options()] * 8, [options(options=PadN(optdata=bytes(250)))]):
        got = c.receive(query(*headers))
        c.expect(forwarded(got, 1, backend=BACKEND6, own=OWN6))
    source_route = IPv6ExtHdrRouting(type=0, segleft=0, addresses=["2001:db8::1"])
    for headers in ([options(), hop()], [options()] * 9, [options(options=PadN(optdata=bytes(250))), options()], [source_route]):
        c.receive(query(*headers))
        c.drop("ip_options")
    return c


@case
def static_routes_lead_to_networks_behind():
    """The longest prefix decides, in both directions and both families; one client is behind another router."""
    c = Case(jumbo(1500).replace("neighbors:", """routes:
  - { prefix: 192.0.2.0/26, via: 198.51.100.9 }
  - { prefix: "2001:db8:99::/64", via: "2001:db8:1::9" }
neighbors:
  - { interface: edge, address: 198.51.100.9, mac: "02:00:00:00:bb:02" }
  - { interface: edge, address: "2001:db8:1::9", mac: "02:00:00:00:bb:02" }"""), two=True)
    for number, (client, service, backend, own, router) in enumerate((
            ("192.0.2.7", SERVICE, "192.0.2.131", "192.0.2.130", B2), ("203.0.113.77", SERVICE, "192.0.2.131", "192.0.2.130", GATEWAY),
            (CLIENT6, SERVICE6, "2001:db8:7::3", "2001:db8:7::2", B2), ("2001:db8:98::7", SERVICE6, "2001:db8:7::3", "2001:db8:7::2",
                                                                       GATEWAY)), start=1):
        query = c.receive(from_client(UDP(sport=5000 + number, dport=53) / bytes(number), src=client, dst=service))
        c.expect(forwarded(query, number, backend=backend, own=own, mac_src=INSIDE), "inside")
        answer = c.receive(from_backend(UDP(sport=8080, dport=NAT(number)) / b"an answer", backend=backend, own=own, to=INSIDE), "inside")
        c.expect(returned(answer, 5000 + number, client=client, service=service, service_port=53, mac=router))
    return c


@case
def fragments_in_tunnels():
    """Each is encapsulated by itself, towards the flow's backend; the outer source port is the flow's too."""
    c = Case(tunnel_config("mode: gue"))
    for family in FAMILIES:
        pieces = cut(datagram(family), 1400)
        port = 0xC000 | spread_hash(pieces[0]) >> 18
        for piece in (pieces[1], pieces[0], pieces[2]):
            c.receive(piece)
        for piece in pieces:
            c.expect(built(link() / outer_ip(piece, 17) / UDP(sport=port, dport=6080, chksum=0) / Raw(raw(inner_of(piece)))))
    return c


@case
def fragments_between_families():
    """Fragments have another form in the other family: a service that translates takes whole packets alone."""
    c = Case(SIMPLE.replace(f"address: {BACKENDS[0]}, port", f'address: "{BACKEND6}", port'))
    for piece in cut(datagram(4), 1400):
        c.receive(piece)
        c.drop("fragment_unsupported")
    return c
