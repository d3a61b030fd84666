"""Golden cases of the modes whose backends answer the client themselves: dsr, ipip, gre, gue, vxlan. make_cases.py writes
them."""

from scapy.all import GRE, ICMP, IP, IPOption, TCP, UDP, VXLAN, Ether, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6, Raw, raw

from packets import (B1, B2, BACKEND6, BACKENDS, Case, Cases, CLIENT, CLIENT6, EDGE, NAT, ONE_ARM, ONE_ARM_NEIGHBORS,
                     OWN, OWN6, SERVICE, SERVICE6, SIMPLE, built, cut_to_fit, forwarded, from_backend, from_client,
                     icmp_error_of, one_hop_on, returned)

CASES = case = Cases()
VNI_MAC = "02:00:00:00:00:64"  # of VNI 100, where the configuration names none
MASK64 = (1 << 64) - 1


def tunnel_config(forward: str, backend: str = BACKENDS[0], more: str = "") -> str:
    return ONE_ARM + ONE_ARM_NEIGHBORS + f"""
pools:
  web: {{ backends: [ {{ name: web1, address: "{backend}"{more} }} ] }}
services:
  web: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp"], forward: {{ pool: web, {forward} }} }}
  web6: {{ listen: ["[{SERVICE6}]:80/tcp", "[{SERVICE6}]:53/udp"], forward: {{ pool: web, {forward} }} }}
"""


def spread_hash(packet) -> int:
    """As docs/modes/README.md has it."""
    ip = packet[IP] if packet.haslayer(IP) else packet[IPv6]
    address = raw(IPv6(src=f"::ffff:{ip.src}" if packet.haslayer(IP) else ip.src))[8:24]
    low, high = (int.from_bytes(address[at:at + 8], "little") for at in (0, 8))
    word = low ^ (high << 32 | high >> 32) & MASK64 ^ ip.payload.sport
    word = word * 0x9E3779B97F4A7C15 & MASK64
    word ^= word >> 32
    return (word * 0xD6E8FEB86659FD93 & MASK64) >> 32


def inner_of(packet):
    out = one_hop_on(packet)
    return out[IP] if out.haslayer(IP) else out[IPv6]


def traffic_class(packet) -> int:
    return packet[IP].tos if packet.haslayer(IP) else packet[IPv6].tc


def outer_ip(packet, proto, *, src=None, dst=BACKENDS[0], ttl=64, flow=None):
    """RFC 6040 normal mode: DSCP and ECN are the packet's. IPv4: DF, and no identifier (RFC 6864). `flow`: another packet of
    the flow, whose ports a later fragment lacks."""
    if ":" in dst:
        label = spread_hash(flow or packet) & 0xFFFFF
        return IPv6(src=src or OWN6, dst=dst, hlim=ttl, tc=traffic_class(packet), nh=proto, fl=label)
    return IP(src=src or OWN, dst=dst, ttl=ttl, tos=traffic_class(packet), id=0, flags="DF", proto=proto)


def link():
    return Ether(src=EDGE, dst=B1)


def in_ip(packet, **outer):
    return built(link() / outer_ip(packet, 4 if packet.haslayer(IP) else 41, **outer) / inner_of(packet))


def in_gre(packet, **outer):
    return built(link() / outer_ip(packet, 47, **outer) / GRE(proto=0x0800 if packet.haslayer(IP) else 0x86DD) / inner_of(packet))


def udp_to(packet, port):
    return UDP(sport=0xC000 | spread_hash(packet) >> 18, dport=port, chksum=0)


def in_gue(packet, *, port=6080, variant=1, flow=None, **outer):
    header = b"" if variant == 1 else bytes([0, 4 if packet.haslayer(IP) else 41, 0, 0])
    udp = udp_to(flow or packet, port)
    return built(link() / outer_ip(packet, 17, flow=flow, **outer) / udp / Raw(header + raw(inner_of(packet))))


def in_vxlan(packet, *, port=4789, vni=100, mac=VNI_MAC, flow=None, **outer):
    inside = raw(VXLAN(flags=8, vni=vni)) + raw(Ether(src=EDGE, dst=mac) / inner_of(packet))
    return built(link() / outer_ip(packet, 17, flow=flow, **outer) / udp_to(flow or packet, port) / Raw(inside))


def packets_of_all_kinds():
    """TCP from its first packet on, and UDP; of both families, with DSCP and ECN."""
    return [
        from_client(TCP(sport=40000, dport=80, flags="S", seq=1000, options=[("MSS", 1460)]), tos=0xB8),
        from_client(TCP(sport=40000, dport=80, flags="A", seq=1001, ack=9001), tos=0x03, ttl=9),
        from_client(TCP(sport=40000, dport=80, flags="PA", seq=1001, ack=9001) / b"GET / HTTP/1.0\r\n\r\n", flags="DF"),
        from_client(UDP(sport=5353, dport=53) / b"query"),
        from_client(TCP(sport=40001, dport=80, flags="S", seq=1000), dst=SERVICE6, tc=0xB9),
        from_client(TCP(sport=40001, dport=80, flags="PA", seq=1001, ack=9001) / b"odd", dst=SERVICE6, hlim=2, fl=0x12345),
        from_client(UDP(sport=5353, dport=53) / b"query", dst=SERVICE6),
    ]


def all_kinds(forward, wrap, backend=BACKENDS[0], more=""):
    c = Case(tunnel_config(forward, backend, more))
    for packet in packets_of_all_kinds():
        c.expect(wrap(c.receive(packet)))
    return c


@case
def ipip_to_an_ip4_backend():
    """4 in 4 and 6 in 4."""
    return all_kinds("mode: ipip", in_ip)


@case
def ipip_to_an_ip6_backend():
    """4 in 6 and 6 in 6."""
    return all_kinds("mode: ipip", lambda packet: in_ip(packet, dst=BACKEND6), BACKEND6)


@case
def ipip_from_a_prefix():
    """The low 16 bits of the source are the flow's, so that the backend's NIC spreads flows over its queues."""
    c = Case(tunnel_config('mode: ipip, outer: { source: [172.16.0.0/16, "100::/64"], ttl: 17 }'))
    for packet in packets_of_all_kinds():
        low = spread_hash(packet) & 0xFFFF
        c.expect(in_ip(c.receive(packet), src=f"172.16.{low >> 8}.{low & 255}", ttl=17))
    return c


@case
def ipip6_from_a_prefix():
    c = Case(tunnel_config('mode: ipip, outer: { source: ["100::/64"] }', BACKEND6))
    for packet in packets_of_all_kinds():
        low = spread_hash(packet)
        c.expect(in_ip(c.receive(packet), src=f"100::{low >> 16:x}:{low & 0xFFFF:x}", dst=BACKEND6))
    return c


def ip4_up_to(c, wrap, room):
    """`room`: what the tunnel leaves of the MTU. A packet of that size fits; the sender of one that is larger by a byte, and may
    not be cut, is told."""
    fits = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * (room - 28)), flags="DF"))
    c.expect(wrap(fits))
    large = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * (room - 27)), flags="DF"))
    c.expect(icmp_error_of(large, ICMP(type=3, code=4, nexthopmtu=room), src=OWN))
    c.drop("too_big")


def ip6_up_to(c, wrap, room):
    fits = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * (room - 48)), dst=SERVICE6))
    c.expect(wrap(fits))
    large = c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * (room - 47)), dst=SERVICE6))
    c.expect(icmp_error_of(large, icmp6=ICMPv6PacketTooBig(mtu=room), src=OWN6))
    c.drop("too_big")


@case
def ipip_that_does_not_fit():
    """RFC 2003 section 5.1, RFC 2473 section 7.1: the sender is told what is left of the MTU."""
    c = Case(tunnel_config("mode: ipip"))
    for packet in packets_of_all_kinds():
        c.expect(in_ip(c.receive(packet)))
    ip4_up_to(c, in_ip, 1480)
    ip6_up_to(c, in_ip, 1480)
    return c


def ttl_used_up_at(config):
    """Before the packet gets into its tunnel."""
    c = Case(config)
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000), ttl=1))
    c.expect(icmp_error_of(syn, ICMP(type=11, code=0), src=OWN))
    syn6 = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1000), dst=SERVICE6, hlim=1))
    c.expect(icmp_error_of(syn6, icmp6=ICMPv6TimeExceeded(code=0), src=OWN6))
    c.drop("ttl_expired", 2)
    return c


@case
def ipip_with_a_ttl_used_up():
    return ttl_used_up_at(tunnel_config("mode: ipip"))


@case
def ipip_is_forwarded_amid_a_flow():
    """A flow that another machine had before, or this one before a restart: Maglev alone says where it goes."""
    c = Case(tunnel_config("mode: ipip"))
    for flags in ("A", "PA", "FA", "R"):
        c.expect(in_ip(c.receive(from_client(TCP(sport=40000, dport=80, flags=flags, seq=5, ack=7) / b"amid"))))
    return c


@case
def ipip_of_padded_frames():
    """RFC 894: padding is no part of the packet, and is not in the tunnel."""
    c = Case(tunnel_config("mode: ipip"))
    query = from_client(UDP(sport=5353, dport=53) / b"q")
    c.receive(Ether(raw(query) + b"\xee" * (60 - len(raw(query)))))
    c.expect(in_ip(query))
    return c


@case
def gre_to_an_ip4_backend():
    return all_kinds("mode: gre", in_gre)


@case
def gre_to_an_ip6_backend():
    return all_kinds("mode: gre", lambda packet: in_gre(packet, dst=BACKEND6), BACKEND6)


@case
def gue_to_an_ip4_backend():
    """Variant 1: the packet follows UDP at once."""
    return all_kinds("mode: gue", in_gue)


@case
def gue_to_an_ip6_backend():
    return all_kinds("mode: gue", lambda packet: in_gue(packet, dst=BACKEND6), BACKEND6)


@case
def gue_with_its_header():
    return all_kinds("mode: gue, gue: { port: 19523, variant: 0 }", lambda packet: in_gue(packet, port=19523, variant=0))


@case
def gue6_with_its_header():
    return all_kinds("mode: gue, gue: { variant: 0 }", lambda packet: in_gue(packet, variant=0, dst=BACKEND6), BACKEND6)


@case
def vxlan_to_an_ip4_backend():
    return all_kinds("mode: vxlan, vxlan: { vni: 100 }", in_vxlan)


@case
def vxlan_to_an_ip6_backend():
    """The inner MAC address is the backend's own where it has one, else the service's."""
    return all_kinds('mode: vxlan, vxlan: { vni: 16777215, port: 8472, mac: "02:00:00:00:cc:01" }',
                     lambda packet: in_vxlan(packet, dst=BACKEND6, vni=0xFFFFFF, port=8472, mac="02:00:00:00:cc:02"), BACKEND6,
                     ', mac: "02:00:00:00:cc:02"')


@case
def vxlan_that_does_not_fit():
    """50 bytes over IPv4."""
    c = Case(tunnel_config("mode: vxlan, vxlan: { vni: 100 }"))
    ip4_up_to(c, in_vxlan, 1450)
    return c


# ---- what is cut ----


def cut_for_a_tunnel(config, wrap, room):
    """RFC 4459 section 3.4: who has not set DF gets through in fragments, each of them in the tunnel. `room`: what it leaves
    of the MTU."""
    c = Case(config)

    def query(size, **ip):
        return from_client(UDP(sport=5353, dport=53) / bytes(i * 7 & 255 for i in range(size - 28)), **ip)

    fits = c.receive(query(room, id=6))
    c.expect(wrap(fits, flow=fits))
    record_route, alert = IPOption(b"\x07\x07\x04\x00\x00\x00\x00"), IPOption(b"\x94\x04\x00\x00")
    large = [query(room + 1, id=7, tos=0xB9, ttl=9), query(1500, id=8), query(1480, id=9, options=[record_route, alert])]
    # What comes in fragments that do not fit themselves: offset and "more" of each are kept.
    whole = query(3000, id=10)
    large += cut_to_fit(whole, 1500)
    for packet in large:
        c.receive(packet)
        pieces = cut_to_fit(packet, room)
        for piece in pieces:
            c.expect(wrap(piece, flow=whole))
    forbidden = c.receive(query(room + 1, flags="DF"))
    c.expect(icmp_error_of(forbidden, ICMP(type=3, code=4, nexthopmtu=room), src=OWN))
    c.drop("too_big")
    return c


@case
def ipip_in_fragments():
    return cut_for_a_tunnel(tunnel_config("mode: ipip"), in_ip, 1480)


@case
def ipip6_in_fragments():
    return cut_for_a_tunnel(tunnel_config("mode: ipip", BACKEND6), lambda packet, flow: in_ip(packet, dst=BACKEND6, flow=flow), 1460)


@case
def ipip_in_fragments_from_a_prefix():
    """All fragments of a flow have its source."""
    def wrap(packet, flow):
        low = spread_hash(flow) & 0xFFFF
        return in_ip(packet, src=f"172.16.{low >> 8}.{low & 255}")

    return cut_for_a_tunnel(tunnel_config("mode: ipip, outer: { source: 172.16.0.0/16 }"), wrap, 1480)


@case
def gre_in_fragments():
    return cut_for_a_tunnel(tunnel_config("mode: gre"), in_gre, 1476)


@case
def gue_in_fragments():
    return cut_for_a_tunnel(tunnel_config("mode: gue"), in_gue, 1472)


@case
def gue6_in_fragments():
    return cut_for_a_tunnel(tunnel_config("mode: gue", BACKEND6), lambda packet, flow: in_gue(packet, dst=BACKEND6, flow=flow), 1452)


@case
def vxlan_in_fragments():
    return cut_for_a_tunnel(tunnel_config("mode: vxlan, vxlan: { vni: 100 }"), in_vxlan, 1450)


def large_errors(config, wrap, room):
    """An error about an answer may be as long as a router likes (RFC 1812 section 4.3.2.3 asks for no more than 576 bytes)."""
    c = Case(config)
    syn = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1)))
    c.expect(wrap(syn, flow=syn))
    answer = IP(src=SERVICE, dst=CLIENT, flags="DF", ttl=60) / TCP(sport=80, dport=40000, flags="A", seq=1) / (b"a" * 1400)
    error = c.receive(from_client(ICMP(type=3, code=4, nexthopmtu=1400) / Raw(raw(answer)), src=ROUTER, id=77))
    for piece in cut_to_fit(error, room):
        c.expect(wrap(piece, flow=syn))
    return c


@case
def gue_of_errors_in_fragments():
    return large_errors(tunnel_config("mode: gue", BACKEND6), lambda packet, flow: in_gue(packet, dst=BACKEND6, flow=flow), 1452)


# ---- dsr ----


DSR = ONE_ARM + ONE_ARM_NEIGHBORS + f"""
pools:
  web: {{ backends: [ {{ name: web1, address: {BACKENDS[0]} }} ] }}
  web6: {{ backends: [ {{ name: web1, address: "{BACKEND6}" }} ] }}
services:
  web: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp"], forward: {{ mode: dsr, pool: web }} }}
  web6: {{ listen: ["[{SERVICE6}]:80/tcp", "[{SERVICE6}]:53/udp"], forward: {{ mode: dsr, pool: web6 }} }}
"""


@case
def dsr4_and_dsr6():
    """The backend's MAC address; one off the TTL, so that a packet which came back to us would not go round for ever."""
    c = Case(DSR)
    for packet in packets_of_all_kinds():
        c.receive(packet)
        c.expect(built(link() / inner_of(packet)))
    error = c.receive(error_from_the_network(CLIENT))
    c.expect(built(link() / inner_of(error)))
    error = c.receive(error_from_the_network(CLIENT6))
    c.expect(built(link() / inner_of(error)))
    return c


# ---- ICMP errors ----

ROUTER, ROUTER6 = "192.0.2.99", "2001:db8:99::99"


def error_from_the_network(client, sport=80, dport=None):
    """A router on the way from a backend to the client, to whom the answer of the backend was too big."""
    if client == CLIENT:
        answer = IP(src=SERVICE, dst=client, flags="DF", ttl=60) / TCP(sport=sport, dport=dport or 40000, flags="A", seq=1) / (b"a" * 64)
        return from_client(ICMP(type=3, code=4, nexthopmtu=1400) / Raw(raw(answer)), src=ROUTER)
    answer = IPv6(src=SERVICE6, dst=client, hlim=60) / TCP(sport=sport, dport=dport or 40001, flags="A", seq=1) / (b"a" * 64)
    return built(Ether(src=from_client(UDP()).src, dst=EDGE) / IPv6(src=ROUTER6, dst=SERVICE6) / ICMPv6PacketTooBig(mtu=1400) /
                 Raw(raw(answer)))


@case
def tunnel_passes_errors_about_answers():
    """The backend has sent the answer past us: the error is for it as it came, in the tunnel of the flow."""
    c = Case(tunnel_config("mode: gue"))
    for packet in (from_client(TCP(sport=40000, dport=80, flags="S", seq=1)),
                   from_client(TCP(sport=40001, dport=80, flags="S", seq=1), dst=SERVICE6)):
        c.expect(in_gue(c.receive(packet)))
    for client, sport in ((CLIENT, 40000), (CLIENT6, 40001)):
        error = c.receive(error_from_the_network(client))
        # The flow's hash, not that of the router: the same queue of the backend's NIC.
        flow = from_client(TCP(sport=sport, dport=80), dst=SERVICE if client == CLIENT else SERVICE6)
        c.expect(built(link() / outer_ip(flow, 17) / udp_to(flow, 6080) / Raw(raw(inner_of(error)))))
    return c


def errors_without_an_entry(config, wrap):
    """Several machines announce the service's address, and a router's error came to this one, which has not seen the flow: it goes
    where the flow's packets would go. Of both families: packet too big, and others."""
    c = Case(config)
    for client in (CLIENT, CLIENT6):
        too_big = error_from_the_network(client)
        if client == CLIENT:
            expired = from_client(ICMP(type=11, code=0) / Raw(raw(too_big[ICMP])[8:]), src=ROUTER)
        else:
            quoted = Raw(raw(too_big[ICMPv6PacketTooBig])[8:])
            expired = from_client(ICMPv6TimeExceeded(code=0) / quoted, src=ROUTER6, dst=SERVICE6)
        for packet in (too_big, expired):
            c.receive(packet)
            flow = from_client(TCP(sport=40000 if client == CLIENT else 40001, dport=80),
                               dst=SERVICE if client == CLIENT else SERVICE6)
            c.expect(wrap(packet, flow=flow))
    return c


@case
def ipip_of_errors_about_flows_of_another_machine():
    return errors_without_an_entry(tunnel_config("mode: ipip"), in_ip)


@case
def gre_of_errors_about_flows_of_another_machine():
    return errors_without_an_entry(tunnel_config("mode: gre"), in_gre)


@case
def gue_of_errors_about_flows_of_another_machine():
    return errors_without_an_entry(tunnel_config("mode: gue", BACKEND6), lambda packet, flow: in_gue(packet, dst=BACKEND6, flow=flow))


@case
def vxlan_of_errors_about_flows_of_another_machine():
    return errors_without_an_entry(tunnel_config("mode: vxlan, vxlan: { vni: 100 }"), in_vxlan)


@case
def dsr_of_errors_about_flows_of_another_machine():
    return errors_without_an_entry(DSR, lambda packet, flow: built(link() / inner_of(packet)))


@case
def errors_about_flows_of_another_machine_go_by_the_hash():
    """To the backend that the flow's own packets go to."""
    c = Case(tunnel_config("mode: ipip").replace("} ] }", f"}}, {{ name: web2, address: {BACKENDS[1]} }} ] }}", 1))
    for client, sport, service, number in ((CLIENT, 40000, SERVICE, 0), (CLIENT6, 40001, SERVICE6, 1)):
        packets = [error_from_the_network(client), from_client(TCP(sport=sport, dport=80, flags="A"), dst=service)]
        for packet in packets:
            c.receive(packet)
            for alternative in range(4):
                second = alternative >> number & 1
                ip = outer_ip(packet, 4 if client == CLIENT else 41, dst=BACKENDS[second])
                c.expect(built(Ether(src=EDGE, dst=B2 if second else B1) / ip / inner_of(packet)), alternative=alternative)
    return c


@case
def errors_about_flows_of_another_machine_that_took_its_turn():
    """Nothing in a packet says which backend has its flow where backends take turns."""
    c = Case(tunnel_config("mode: ipip").replace("web: { backends", "web: { balance: round_robin, backends"))
    for client in (CLIENT, CLIENT6):
        c.receive(error_from_the_network(client))
    c.drop("icmp_no_flow", 2)
    return c


def too_big_on_the_way(sent, quote=None, mtu=1400):
    """A router between us and the backend, which quotes what we have sent."""
    outer = sent[IP] if sent.haslayer(IP) and sent[Ether].type == 0x0800 else sent[IPv6]
    if isinstance(outer, IP):
        return built(Ether(src=B1, dst=EDGE) / IP(src="198.51.100.99", dst=OWN, ttl=60) / ICMP(type=3, code=4, nexthopmtu=mtu) /
                     Raw(raw(outer)[:quote]))
    return built(Ether(src=B1, dst=EDGE) / IPv6(src="2001:db8:1::99", dst=OWN6, hlim=60) / ICMPv6PacketTooBig(mtu=mtu) /
                 Raw(raw(outer)[:quote]))


def too_big_to_client(packet, mtu, quote):
    """What the client gets: about its own packet, as far as the router has quoted it."""
    quoted = raw(inner_of(packet))[:quote]
    if packet.haslayer(IP):
        return built(Ether(src=EDGE, dst=packet[Ether].src) / IP(src=OWN, dst=CLIENT, tos=0xC0, id=0, flags="DF", ttl=64) /
                     ICMP(type=3, code=4, nexthopmtu=mtu) / Raw(quoted))
    return built(Ether(src=EDGE, dst=packet[Ether].src) / IPv6(src=OWN6, dst=CLIENT6, hlim=64) / ICMPv6PacketTooBig(mtu=mtu) /
                 Raw(quoted))


def errors_on_the_way(forward, wrap, added, backend=BACKENDS[0]):
    c = Case(tunnel_config(forward, backend))
    for packet in (from_client(UDP(sport=5353, dport=53) / (b"x" * 1400), flags="DF"),
                   from_client(UDP(sport=5353, dport=53) / (b"x" * 1380), dst=SERVICE6)):
        sent = wrap(c.receive(packet))
        c.expect(sent)
        outer4 = ":" not in backend
        error = c.receive(too_big_on_the_way(sent, 548 if outer4 else 1232))
        inner = (548 if outer4 else 1232) - added
        most = 548 if packet.haslayer(IP) else 1232
        c.expect(too_big_to_client(packet, 1400 - added, min(inner, most)))
        if outer4:  # RFC 792: 8 bytes behind the header, and no word of the client
            c.receive(too_big_on_the_way(sent, 28))
            c.drop("icmp_unhandled" if added in (20, 24) else "icmp_no_flow")
    return c


@case
def ipip_too_big_on_the_way():
    return errors_on_the_way("mode: ipip", in_ip, 20)


@case
def ipip6_too_big_on_the_way():
    return errors_on_the_way("mode: ipip", lambda packet: in_ip(packet, dst=BACKEND6), 40, BACKEND6)


@case
def gre_too_big_on_the_way():
    return errors_on_the_way("mode: gre", in_gre, 24)


@case
def gue_too_big_on_the_way():
    return errors_on_the_way("mode: gue", in_gue, 28)


@case
def vxlan_too_big_on_the_way():
    return errors_on_the_way("mode: vxlan, vxlan: { vni: 100 }", in_vxlan, 50)


@case
def made_up_errors_about_tunnels():
    """About a flow that is not there, from another backend, and of another kind than too big."""
    c = Case(tunnel_config("mode: ipip"))
    known = from_client(UDP(sport=5353, dport=53) / b"x")
    sent = in_ip(c.receive(known))
    c.expect(sent)
    unknown = in_ip(from_client(UDP(sport=5354, dport=53) / b"x"))
    c.receive(too_big_on_the_way(unknown))
    c.receive(too_big_on_the_way(in_ip(known, dst=BACKENDS[1])))
    c.drop("icmp_no_flow", 2)
    c.receive(built(Ether(src=B1, dst=EDGE) / IP(src="198.51.100.99", dst=OWN, ttl=60) / ICMP(type=3, code=1) / Raw(raw(sent[IP]))))
    c.drop("icmp_unhandled")
    return c


@case
def made_up_sizes_of_the_way():
    """No link is smaller than 68 and 1,280 bytes, and none is too small for a packet that is smaller still."""
    c = Case(tunnel_config("mode: ipip"))
    for packet, least in ((from_client(UDP(sport=5353, dport=53) / (b"x" * 1400), flags="DF"), 68),
                          (from_client(UDP(sport=5353, dport=53) / (b"x" * 1380), dst=SERVICE6), 1280)):
        sent = in_ip(c.receive(packet))
        c.expect(sent)
        for mtu in (21, 87, least + 20):
            c.receive(too_big_on_the_way(sent, 548, mtu))
            c.expect(too_big_to_client(packet, least, 548 - 20))
        length = len(packet) - 14
        c.receive(too_big_on_the_way(sent, 548, length + 19))
        c.expect(too_big_to_client(packet, length - 1, 548 - 20))
        c.receive(too_big_on_the_way(sent, 548, length + 20))
        c.drop("icmp_no_flow")
    small = in_ip(c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * 1232), dst=SERVICE6)))  # 1,280 bytes
    c.expect(small)
    c.receive(too_big_on_the_way(small, 548, 600))
    c.drop("icmp_no_flow")
    return c


# ---- MSS ----


def syn(mss, options=(), flags="S", **where):
    return from_client(TCP(sport=40000, dport=80, flags=flags, seq=1, options=[*options, ("MSS", mss), ("SAckOK", b"")]), **where)


def with_mss(packet, mss):
    out = packet.copy()
    out[TCP].options = [(name, mss if name == "MSS" else value) for name, value in out[TCP].options]
    del out[TCP].chksum
    return built(out)


@case
def mss_in_a_tunnel():
    """auto: what the tunnel leaves of the MTU, less the headers. Wherever the option stands: the checksum follows."""
    c = Case(tunnel_config("mode: ipip, mss: auto"))
    for options in ([], [("NOP", None)], [("NOP", None), ("NOP", None)]):
        packet = c.receive(syn(1460, options))
        c.expect(in_ip(with_mss(packet, 1440)))
    packet = c.receive(syn(1000))
    c.expect(in_ip(packet))
    packet = c.receive(syn(1460, dst=SERVICE6))
    c.expect(in_ip(with_mss(packet, 1420)))
    return c


@case
def mss_both_ways_of_a_nat():
    c = Case(SIMPLE.replace("mode: nat,", "mode: nat, mss: 1200,"))
    for service, backend, own, client in ((SERVICE, BACKENDS[0], OWN, CLIENT), (SERVICE6, BACKEND6, OWN6, CLIENT6)):
        number = 1 if service == SERVICE else 2
        packet = c.receive(syn(1460, [("NOP", None)], dst=service))
        c.expect(with_mss(forwarded(packet, number, backend=backend, own=own), 1200))
        answer = c.receive(from_backend(TCP(sport=8080, dport=NAT(number), flags="SA", seq=9, ack=2, options=[("MSS", 1440)]),
                                        backend=backend, own=own))
        c.expect(with_mss(returned(answer, 40000, client=client, service=service), 1200))
    return c
