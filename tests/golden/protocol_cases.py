"""Golden cases of what is neither TCP nor UDP to one address and port: SCTP, forwarded echoes, all ports, prefixes, QUIC."""

from scapy.all import (ARP, ICMP, IP, SCTP, TCP, UDP, Ether, ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest,
                       ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_Redirect, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, IPOption, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, PadN,
                       SCTPChunkAbort, SCTPChunkCookieAck, SCTPChunkCookieEcho, SCTPChunkData, SCTPChunkInit,
                       SCTPChunkInitAck, SCTPChunkSACK, SCTPChunkShutdown, SCTPChunkShutdownAck,
                       SCTPChunkShutdownComplete, raw)

from packets import (B1, B2, BACKEND6, BACKENDS, BROADCAST, Case, Cases, CLIENT, CLIENT6, cut_to_fit, ECHO, EDGE, GATEWAY, GW, GW6,
                     NAT, ONE_ARM, ONE_ARM_NEIGHBORS, OWN, OWN6, SERVICE, SERVICE6, built, error_about, error_passed,
                     forwarded, from_backend, from_client, handed_on, icmp_error_of, reset_of, returned, rewritten,
                     solicited_node, with_checksums)

CASES = case = Cases()


SIGNALLING = ONE_ARM + ONE_ARM_NEIGHBORS + f"""
pools:
  core: {{ backends: [ {{ name: core1, address: {BACKENDS[0]}, port: 8080 }} ] }}
  core6: {{ backends: [ {{ name: core1, address: "{BACKEND6}", port: 8080 }} ] }}
services:
  core: {{ listen: "{SERVICE}:36412/sctp", forward: {{ mode: nat, pool: core }} }}
  core6: {{ listen: "[{SERVICE6}]:36412/sctp", forward: {{ mode: nat, pool: core6 }} }}
"""


def association(c: Case, service, backend, own, client):
    def sent(tag, chunks):
        packet = c.receive(from_client(SCTP(sport=40000, dport=36412, tag=tag) / chunks, dst=service))
        c.expect(forwarded(packet, 1, backend=backend, own=own))

    def answered(tag, chunks):
        packet = c.receive(from_backend(SCTP(sport=8080, dport=NAT(1), tag=tag) / chunks, backend=backend, own=own))
        c.expect(returned(packet, 40000, client=client, service=service, service_port=36412))

    sent(0, SCTPChunkInit(init_tag=0x1111, a_rwnd=65536, n_out_streams=10, n_in_streams=10, init_tsn=1))
    answered(0x1111, SCTPChunkInitAck(init_tag=0x2222, a_rwnd=65536, n_out_streams=10, n_in_streams=10, init_tsn=9))
    sent(0x2222, SCTPChunkCookieEcho(cookie=b"c" * 33) / SCTPChunkData(tsn=1, data=b"odd"))
    answered(0x1111, SCTPChunkCookieAck() / SCTPChunkSACK(cumul_tsn_ack=1, a_rwnd=65536))
    answered(0x1111, SCTPChunkData(tsn=9, data=b"\xff" * 1000))
    sent(0x2222, SCTPChunkSACK(cumul_tsn_ack=9, a_rwnd=65536))
    sent(0x2222, SCTPChunkShutdown(cumul_tsn_ack=9))
    answered(0x1111, SCTPChunkShutdownAck())
    sent(0x2222, SCTPChunkShutdownComplete())


@case
def sctp4_association():
    c = Case(SIGNALLING)
    association(c, SERVICE, BACKENDS[0], OWN, CLIENT)
    return c


@case
def sctp6_association():
    c = Case(SIGNALLING)
    association(c, SERVICE6, BACKEND6, OWN6, CLIENT6)
    return c


@case
def a_wrong_sctp_checksum_stays_wrong():
    """The CRC is linear: the difference that the damage made is there behind us, too."""
    c = Case(SIGNALLING)
    init = c.receive(from_client(SCTP(sport=40000, dport=36412, tag=0) / SCTPChunkInit(init_tag=0x1111)))
    c.expect(forwarded(init, 1))
    damaged = from_client(SCTP(sport=40000, dport=36412, tag=0x2222) / SCTPChunkData(tsn=1, data=b"some payload"))
    right = damaged[SCTP].chksum
    damaged[SCTP].chksum = right ^ 0x00400001
    damaged = c.receive(built(damaged))
    expected = forwarded(damaged, 1)
    expected[SCTP].chksum ^= 0x00400001
    c.expect(built(expected))
    return c


@case
def mss_is_for_tcp_alone():
    """A service of both: what stands in an INIT where a SYN has its MSS is a number of SCTP's."""
    config = SIGNALLING.replace("mode: nat,", "mode: nat, mss: 1200,")
    for address in (SERVICE, f"[{SERVICE6}]"):
        config = config.replace(f'"{address}:36412/sctp"', f'["{address}:36412/sctp", "{address}:36412/tcp"]')
    c = Case(config)
    looks = dict(a_rwnd=0x0204FFFF, n_out_streams=0x0101, n_in_streams=0x0101, init_tsn=0x0204FFFE)
    for number, (service, backend, own, client) in enumerate([(SERVICE, BACKENDS[0], OWN, CLIENT),
                                                              (SERVICE6, BACKEND6, OWN6, CLIENT6)], start=1):
        init = c.receive(from_client(SCTP(sport=40000, dport=36412, tag=0) / SCTPChunkInit(init_tag=0x1111, **looks),
                                     dst=service))
        c.expect(forwarded(init, number, backend=backend, own=own))
        answer = c.receive(from_backend(SCTP(sport=8080, dport=NAT(number), tag=0x1111) /
                                        SCTPChunkInitAck(init_tag=0x2222, **looks), backend=backend, own=own))
        c.expect(returned(answer, 40000, client=client, service=service, service_port=36412))
    return c


def abort_of(packet, tag, reflected):
    """RFC 9260 section 8.4; from the packet's destination to its source."""
    sctp = packet[SCTP]
    answer = SCTP(sport=sctp.dport, dport=sctp.sport, tag=tag) / SCTPChunkAbort(TCB=reflected, error_causes=b"")
    link = Ether(src=packet[Ether].dst, dst=packet[Ether].src)
    if packet.haslayer(IP):
        return built(link / IP(src=packet[IP].dst, dst=packet[IP].src, id=0, flags="DF", ttl=64) / answer)
    return built(link / IPv6(src=packet[IPv6].dst, dst=packet[IPv6].src, hlim=64) / answer)


@case
def sctp_amid_an_unknown_association_is_aborted():
    c = Case(SIGNALLING)
    for service in (SERVICE, SERVICE6):
        data = c.receive(from_client(SCTP(sport=40000, dport=36412, tag=0xAABB) / SCTPChunkData(tsn=1, data=b"late"),
                                     dst=service))
        c.expect(abort_of(data, 0xAABB, 1))
        c.drop("no_flow")
        # Nobody answers an ABORT.
        c.receive(from_client(SCTP(sport=40000, dport=36412, tag=0xAABB) / SCTPChunkAbort(), dst=service))
        c.drop("no_flow")
    closed = c.receive(from_client(SCTP(sport=40000, dport=5000, tag=0) / SCTPChunkInit(init_tag=0x1111), dst=SERVICE))
    c.expect(abort_of(closed, 0x1111, 0))
    c.drop("port_closed")
    late = c.receive(from_backend(SCTP(sport=8080, dport=2000, tag=0xCC) / SCTPChunkData(tsn=1, data=b"late")))
    c.expect(abort_of(late, 0xCC, 1))
    c.drop("nat_no_reply_flow")
    return c


@case
def malformed_sctp():
    c = Case(SIGNALLING)
    for chunks in (b"", b"\x00\x03\x00\x03", b"\x00\x03\x00\x40four", raw(SCTPChunkInit() / SCTPChunkAbort())):
        c.receive(from_client(SCTP(sport=40000, dport=36412, tag=0) / chunks))
        c.drop("bad_l4_header")
    return c


# ---- echoes that are forwarded ----


def echo_config(mode: str) -> str:
    port = 80 if mode == "dsr" else 8080
    return ONE_ARM + ONE_ARM_NEIGHBORS + f"""
pools:
  web: {{ backends: [ {{ name: web1, address: {BACKENDS[0]}, port: {port} }} ] }}
  web6: {{ backends: [ {{ name: web1, address: "{BACKEND6}", port: {port} }} ] }}
services:
  web: {{ listen: "{SERVICE}:80", forward: {{ mode: {mode}, pool: web, icmp: forward }} }}
  web6: {{ listen: "[{SERVICE6}]:80", forward: {{ mode: {mode}, pool: web6, icmp: forward }} }}
"""


def ping(v6, identifier, reply=False, data=b"some data"):
    if v6:
        return (ICMPv6EchoReply if reply else ICMPv6EchoRequest)(id=identifier, seq=5, data=data)
    return ICMP(type=0 if reply else 8, id=identifier, seq=5) / data


def echo_rewritten(packet, identifier, *, src, dst, mac_dst):
    out = packet.copy()
    out[Ether].src, out[Ether].dst = EDGE, mac_dst
    if out.haslayer(IP):
        out[IP].src, out[IP].dst, out[ICMP].id = src, dst, identifier
        out[IP].ttl -= 1
    else:
        out[IPv6].src, out[IPv6].dst = src, dst
        out[IPv6].hlim -= 1
        for layer in (ICMPv6EchoRequest, ICMPv6EchoReply):
            if out.haslayer(layer):
                out[layer].id = identifier
    return with_checksums(out)


FAMILIES = ((SERVICE, CLIENT, BACKENDS[0], OWN), (SERVICE6, CLIENT6, BACKEND6, OWN6))


@case
def echo_is_forwarded():
    c = Case(echo_config("nat"))
    number = 0
    for service, client, backend, own in FAMILIES:
        v6 = service == SERVICE6
        other = "2001:db8:99::8" if v6 else "192.0.2.8"
        for source, identifier in ((client, 7), (client, 8), (other, 7)):
            number += 1
            data = f"flow {number}".encode()
            request = c.receive(from_client(ping(v6, identifier, data=data), src=source, dst=service))
            c.expect(echo_rewritten(request, ECHO(number), src=own, dst=backend, mac_dst=B1))
            reply = c.receive(from_backend(ping(v6, ECHO(number), reply=True), backend=backend, own=own))
            c.expect(echo_rewritten(reply, identifier, src=service, dst=source, mac_dst=GATEWAY))
    # The same flow again; a reply that nobody asked for; and our own address answers by itself.
    request = c.receive(from_client(ping(False, 7, data=b"again")))
    c.expect(echo_rewritten(request, ECHO(1), src=OWN, dst=BACKENDS[0], mac_dst=B1))
    c.receive(from_backend(ping(False, 60000, reply=True)))
    c.drop("nat_no_reply_flow")
    c.receive(from_backend(ping(False, 80, reply=True)))  # no identifier of ours
    c.drop("icmp_unhandled")
    request = c.receive(from_client(ping(False, 7), dst=OWN))
    answer = request.copy()
    answer[Ether].src, answer[Ether].dst = EDGE, GATEWAY
    answer[IP].src, answer[IP].dst, answer[IP].ttl, answer[ICMP].type = OWN, CLIENT, 64, 0
    c.expect(with_checksums(answer))
    return c


@case
def echo_without_a_backend_is_answered():
    c = Case(echo_config("nat").replace("port: 8080 } ]", "port: 8080 } ], health: { tcp: {} }"), down=["web/web1", "web6/web1"])
    for service in (SERVICE, SERVICE6):
        request = c.receive(from_client(ping(service == SERVICE6, 7), dst=service))
        c.expect(icmp_error_of(request, ICMP(type=3, code=1), ICMPv6DestUnreach(code=3)))
        c.drop("no_backend")
    return c


@case
def echo_is_forwarded_in_mode_dsr():
    c = Case(echo_config("dsr"))
    for service, _, _, _ in FAMILIES:
        request = c.receive(from_client(ping(service == SERVICE6, 7), dst=service))
        c.expect(handed_on(request, B1))
    return c


@case
def icmp_errors_about_a_forwarded_echo():
    c = Case(echo_config("nat"))
    for number, (service, client, backend, own) in enumerate(FAMILIES, start=1):
        v6 = service == SERVICE6
        gone = {"icmp4": ICMP(type=3, code=1), "icmp6": ICMPv6DestUnreach(code=3)}
        request = c.receive(from_client(ping(v6, 7), dst=service))
        sent = c.expect(echo_rewritten(request, ECHO(number), src=own, dst=backend, mac_dst=B1))
        error = c.receive(error_about(sent, **gone, src=GW6 if v6 else GW, mac=GATEWAY))
        c.expect(error_passed(error, request, **gone, src=service, mac=GATEWAY))
        reply = c.receive(from_backend(ping(v6, ECHO(number), reply=True), backend=backend, own=own))
        returned_reply = c.expect(echo_rewritten(reply, 7, src=service, dst=client, mac_dst=GATEWAY))
        error = c.receive(error_about(returned_reply, **gone, src=GW6 if v6 else GW, mac=GATEWAY))
        c.expect(error_passed(error, reply, **gone, src=own, mac=B1))
    return c


@case
def icmp_errors_about_an_association():
    """Of an SCTP packet a router may quote as little as 8 bytes: ports and tag."""
    c = Case(SIGNALLING)
    for number, (service, client, backend, own) in enumerate(FAMILIES, start=1):
        v6 = service == SERVICE6
        gone = {"icmp4": ICMP(type=3, code=2), "icmp6": ICMPv6PacketTooBig(mtu=1400)}
        quote = (40 if v6 else 20) + 8
        init = c.receive(from_client(SCTP(sport=40000, dport=36412, tag=0) / SCTPChunkInit(init_tag=0x1111), dst=service))
        sent = c.expect(forwarded(init, number, backend=backend, own=own))
        error = c.receive(error_about(sent, **gone, src=GW6 if v6 else GW, mac=GATEWAY, quote=quote))
        c.expect(error_passed(error, init, **gone, src=service, mac=GATEWAY, quote=quote))
    return c


@case
def icmp_errors_that_quote_options():
    """The ports stand behind IPv4 options and IPv6 extension headers."""
    c = Case(wildcard_config(f"{SERVICE}:53/udp", f"[{SERVICE6}]:53/udp"))
    for number, (service, _, backend, own) in enumerate(FAMILIES, start=1):
        v6 = service == SERVICE6
        question = UDP(sport=40000, dport=53) / b"question"
        if v6:
            packet = from_client(IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]) / IPv6ExtHdrDestOpt() / question, dst=service)
        else:
            packet = from_client(question, options=IPOption(b"\x01\x01\x01\x00"))
        request = c.receive(packet)
        sent = c.expect(rewritten(request, src=own, sport=NAT(number), dst=backend, dport=53, mac_src=EDGE, mac_dst=B1))
        gone = {"icmp4": ICMP(type=3, code=3), "icmp6": ICMPv6DestUnreach(code=4)}
        error = c.receive(error_about(sent, **gone, src=GW6 if v6 else GW, mac=GATEWAY))
        c.expect(error_passed(error, request, **gone, src=service, mac=GATEWAY))
    return c


@case
def icmp_messages_that_are_not_passed_on():
    """Source quench (RFC 6633) and redirects (RFC 1812 section 5.2.7.2), though they quote a packet of a flow."""
    c = Case(wildcard_config(f"{SERVICE}:53/udp", f"[{SERVICE6}]:53/udp"))
    for number, (service, _, backend, own) in enumerate(FAMILIES, start=1):
        v6 = service == SERVICE6
        request = c.receive(from_client(UDP(sport=40000, dport=53) / b"question", dst=service))
        sent = c.expect(rewritten(request, src=own, sport=NAT(number), dst=backend, dport=53, mac_src=EDGE, mac_dst=B1))
        messages = [ICMPv6ND_Redirect(tgt=GW6, dst=backend)] if v6 else [ICMP(type=4), ICMP(type=5, code=1, gw=GW)]
        for message in messages:
            c.receive(error_about(sent, message, message, src=GW6 if v6 else GW, mac=GATEWAY))
            c.drop("icmp_unhandled")
    return c


# ---- all ports, prefixes ----


def wildcard_config(*listens: str, port: str = "") -> str:
    at = ", port: " + port if port else ""
    def rows(v6):
        return ", ".join(f'"{text}"' for text in listens if ("::" in text) == v6)
    return ONE_ARM + ONE_ARM_NEIGHBORS + f"""
pools:
  web: {{ backends: [ {{ name: web1, address: {BACKENDS[0]}{at} }} ] }}
  web6: {{ backends: [ {{ name: web1, address: "{BACKEND6}"{at} }} ] }}
services:
  web: {{ listen: [{rows(False)}], forward: {{ mode: nat, pool: web }} }}
  web6: {{ listen: [{rows(True)}], forward: {{ mode: nat, pool: web6 }} }}
"""


def exchange_at(c: Case, number, service, port, l4=UDP, sport=40000, backend_port=None):
    """A client's packet to that port and the answer to it."""
    v6 = ":" in service
    own, backend, client = (OWN6, BACKEND6, CLIENT6) if v6 else (OWN, BACKENDS[0], CLIENT)
    backend_port = backend_port or port
    first, second = ({"flags": "S", "seq": 1}, {"flags": "SA", "seq": 1, "ack": 2}) if l4 is TCP else ({}, {})
    request = c.receive(from_client(l4(sport=sport, dport=port, **first) / f"flow {number}".encode(), dst=service))
    c.expect(rewritten(request, src=own, sport=NAT(number), dst=backend, dport=backend_port, mac_src=EDGE, mac_dst=B1))
    answer = c.receive(from_backend(l4(sport=backend_port, dport=NAT(number), **second), backend=backend, own=own))
    c.expect(returned(answer, sport, client=client, service=service, service_port=port))


@case
def every_port_of_an_address():
    c = Case(wildcard_config(f"{SERVICE}:*/tcp", f"{SERVICE}:*/udp", f"[{SERVICE6}]:*/udp"))
    exchange_at(c, 1, SERVICE, 53)
    exchange_at(c, 2, SERVICE, 54)  # the same client's port: another flow
    exchange_at(c, 3, SERVICE, 65535, l4=TCP)
    exchange_at(c, 4, SERVICE6, 53)
    exchange_at(c, 5, SERVICE6, 1)
    # The first flow is still there; and IPv6 has no TCP here.
    again = c.receive(from_client(UDP(sport=40000, dport=53) / b"again", dst=SERVICE))
    c.expect(rewritten(again, src=OWN, sport=NAT(1), dst=BACKENDS[0], dport=53, mac_src=EDGE, mac_dst=B1))
    closed = c.receive(from_client(TCP(sport=40000, dport=80, flags="S", seq=1), dst=SERVICE6))
    c.expect(reset_of(closed))
    c.drop("port_closed")
    return c


@case
def one_port_before_every_port():
    other = f"""
services:
  one: {{ listen: "{SERVICE}:53/udp", forward: {{ mode: nat, pool: one }} }}
"""
    config = wildcard_config(f"{SERVICE}:*/udp", port='"*"').replace("pools:", f"pools:\n  one: {{ backends: "
             f"{{ name: one1, address: {BACKENDS[0]}, port: 8080 }} }}")
    c = Case(config.replace("\nservices:", other.rstrip("\n")).replace('  web6: { listen: [], forward: { mode: nat, pool: web6 } }\n', ""))
    exchange_at(c, 1, SERVICE, 53, backend_port=8080)
    exchange_at(c, 2, SERVICE, 54)
    return c


@case
def every_address_of_a_prefix():
    c = Case(wildcard_config("203.0.113.0/28:80/udp", "203.0.113.8/29:81/udp", "203.0.113.0/28:*/tcp", "2001:db8:5::/64:80/udp",
                             "2001:db8:5::/64:81/tcp", port="8080"))
    exchange_at(c, 1, "203.0.113.0", 80, backend_port=8080)
    exchange_at(c, 2, "203.0.113.15", 80, backend_port=8080)
    exchange_at(c, 3, "203.0.113.9", 81, backend_port=8080)
    exchange_at(c, 4, "203.0.113.9", 80, backend_port=8080)  # the shorter prefix has it
    exchange_at(c, 5, "203.0.113.3", 7777, l4=TCP, backend_port=8080)
    exchange_at(c, 6, "2001:db8:5::1", 80, backend_port=8080)
    exchange_at(c, 7, "2001:db8:5::ffff:1", 80, backend_port=8080)
    exchange_at(c, 8, "2001:db8:5::1", 81, l4=TCP, backend_port=8080)
    # In the prefix, but no service is there; and not in it.
    closed = c.receive(from_client(UDP(sport=40000, dport=81), dst="203.0.113.3"))
    c.expect(icmp_error_of(closed, ICMP(type=3, code=3)))
    c.drop("port_closed")
    for stranger in ("203.0.113.16", "2001:db8:5:1::1"):
        c.receive(from_client(UDP(sport=40000, dport=80), dst=stranger))
        c.drop("not_for_us")
    # A ping of any of them is answered.
    request = c.receive(from_client(ping(False, 7), dst="203.0.113.5"))
    answer = request.copy()
    answer[Ether].src, answer[Ether].dst = EDGE, GATEWAY
    answer[IP].src, answer[IP].dst, answer[IP].ttl, answer[ICMP].type = "203.0.113.5", CLIENT, 64, 0
    c.expect(with_checksums(answer))
    # What claims to come from there does not.
    c.receive(from_client(UDP(sport=40000, dport=80), src="203.0.113.4", dst="203.0.113.5"))
    c.drop("bad_ip_address")
    return c


@case
def icmp_errors_about_a_flow_of_a_prefix():
    c = Case(wildcard_config("203.0.113.0/28:*/udp", "2001:db8:5::/64:*/udp"))
    for number, service in enumerate(("203.0.113.7", "2001:db8:5::7"), start=1):
        v6 = ":" in service
        own, backend = (OWN6, BACKEND6) if v6 else (OWN, BACKENDS[0])
        gone = {"icmp4": ICMP(type=3, code=3), "icmp6": ICMPv6DestUnreach(code=4)}
        request = c.receive(from_client(UDP(sport=40000, dport=53) / b"x", dst=service))
        sent = c.expect(rewritten(request, src=own, sport=NAT(number), dst=backend, dport=53, mac_src=EDGE, mac_dst=B1))
        error = c.receive(error_about(sent, **gone, src=GW6 if v6 else GW, mac=GATEWAY))
        c.expect(error_passed(error, request, **gone, src=service, mac=GATEWAY))
        answer = c.receive(from_backend(UDP(sport=53, dport=NAT(number)) / b"y", backend=backend, own=own))
        back = c.expect(returned(answer, 40000, client=CLIENT6 if v6 else CLIENT, service=service, service_port=53))
        error = c.receive(error_about(back, **gone, src=GW6 if v6 else GW, mac=GATEWAY))
        c.expect(error_passed(error, answer, **gone, src=own, mac=B1))
    return c


@case
def arp_and_nd_are_answered_for_an_on_link_prefix():
    c = Case(wildcard_config("198.51.100.64/28:80", "2001:db8:1::1:0/112:80", port="80"))
    for target, answered in (("198.51.100.64", True), ("198.51.100.79", True), ("198.51.100.80", False)):
        request = c.receive(built(Ether(src=B1, dst=BROADCAST) / ARP(op=1, hwsrc=B1, psrc=BACKENDS[0], pdst=target)))
        if answered:
            c.expect(built(Ether(src=EDGE, dst=B1) / ARP(op=2, hwsrc=EDGE, psrc=target, hwdst=B1, pdst=BACKENDS[0])))
        else:
            c.drop("arp_not_for_us")
    target = "2001:db8:1::1:77"
    group, group_mac = solicited_node(target)
    c.receive(built(Ether(src=B1, dst=group_mac) / IPv6(src=BACKEND6, dst=group, hlim=255) / ICMPv6ND_NS(tgt=target) /
                    ICMPv6NDOptSrcLLAddr(lladdr=B1)))
    c.expect(built(Ether(src=EDGE, dst=B1) / IPv6(src=target, dst=BACKEND6, hlim=255) /
                   ICMPv6ND_NA(tgt=target, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=EDGE)))
    return c


# ---- QUIC ----


def quic_config(mode: str) -> str:
    return ONE_ARM + ONE_ARM_NEIGHBORS + f"""
pools:
  web:
    quic_configs: [0, 3]
    backends:
      - {{ name: web1, address: {BACKENDS[0]}, port: 443, server_id: "aa01" }}
      - {{ name: web2, address: {BACKENDS[1]}, port: 443, server_id: "aa02" }}
  web6:
    backends: [ {{ name: web1, address: "{BACKEND6}", port: 443, server_id: "01" }} ]
services:
  web: {{ listen: "{SERVICE}:443/quic", forward: {{ mode: {mode}, pool: web }} }}
  web6: {{ listen: "[{SERVICE6}]:443/quic", forward: {{ mode: {mode}, pool: web6 }} }}
"""


def quic_short(server: int, config=0, rest=b"nonce and payload"):
    return b"\x40" + bytes([config << 5 | 0x07, 0xAA, server]) + rest


def quic_long(server: int, first=0xE0, version=1):
    """A Handshake packet, unless something else is said."""
    return bytes([first]) + version.to_bytes(4, "big") + b"\x08" + bytes([0x07, 0xAA, server]) + b"nonce" + b"\x00payload"


def fragment_at_128(packet):
    return cut_to_fit(packet, 20 + 128)


def quic_packets(c: Case, send):
    """Every packet says which backend it must go to; the addresses of clients change under way."""
    send("192.0.2.7", 40000, quic_short(1), 0)
    send("192.0.2.8", 41000, quic_short(1), 0)           # the client has moved
    send("192.0.2.8", 41000, quic_short(2), 1)           # its address has another client now
    send("192.0.2.9", 40000, quic_short(2, config=3), 1)
    send("192.0.2.9", 40001, quic_long(1), 0)
    send("192.0.2.9", 40002, quic_long(2, first=0xF0, version=0x6B3343CF), 1)
    # Who is known stays where he is if the id names nobody: an unknown server, a configuration that is not ours, an Initial.
    for payload in (quic_short(9), quic_short(2, config=7), quic_long(2, first=0xC0), b"\x40", b"\xe0\x00"):
        send("192.0.2.7", 40000, payload, 0)


@case
def quic_goes_by_connection_id():
    c = Case(quic_config("nat"))
    ports = {}

    def send(client, sport, payload, backend):
        number = ports.setdefault((client, sport, backend), len(ports) + 1)
        if len(payload) > 5:
            payload += bytes([number])  # the runner tells flows by what is in them
        packet = c.receive(from_client(UDP(sport=sport, dport=443) / payload, src=client))
        c.expect(rewritten(packet, src=OWN, sport=NAT(number), dst=BACKENDS[backend], dport=443, mac_src=EDGE,
                           mac_dst=(B1, B2)[backend]))

    quic_packets(c, send)
    # What the backend answers goes to where its client is now.
    answer = c.receive(from_backend(UDP(sport=443, dport=NAT(ports["192.0.2.9", 40001, 0])) / b"answer"))
    c.expect(returned(answer, 40001, client="192.0.2.9", service_port=443))
    packet = c.receive(from_client(UDP(sport=1, dport=443) / b"\x40\x07\x01rest", dst=SERVICE6))
    c.expect(rewritten(packet, src=OWN6, sport=NAT(len(ports) + 1), dst=BACKEND6, dport=443, mac_src=EDGE, mac_dst=B1))
    return c


@case
def quic_goes_by_connection_id_in_mode_dsr():
    c = Case(quic_config("dsr"))

    def send(client, sport, payload, backend):
        packet = c.receive(from_client(UDP(sport=sport, dport=443) / payload, src=client))
        c.expect(handed_on(packet, (B1, B2)[backend]))

    quic_packets(c, send)
    return c


@case
def quic_in_fragments_goes_by_the_first():
    """RFC 9000 section 14 forbids it, and networks do it: what a later one begins with is no connection id."""
    c = Case(quic_config("dsr"))
    for sport, one, other, to in ((40000, 1, 2, 0), (40001, 2, 1, 1)):
        payload = quic_short(one, rest=b"x" * 116) + quic_short(other, rest=b"y" * 60)  # 120 bytes, and what follows
        for fragment in fragment_at_128(from_client(UDP(sport=sport, dport=443) / payload, id=sport)):
            c.expect(handed_on(c.receive(fragment), (B1, B2)[to]))
    return c


@case
def quic_initials_go_by_the_hash():
    """One of two complete expectations holds: the first packet's backend is Maglev's choice."""
    c = Case(quic_config("dsr"))
    for payload in (quic_long(1, first=0xC0), quic_long(2, first=0xC0), quic_long(1, first=0xD0), quic_short(9)):
        packet = c.receive(from_client(UDP(sport=40000, dport=443) / payload))
        for alternative, mac in enumerate((B1, B2)):
            c.expect(handed_on(packet, mac), alternative=alternative)
    return c
