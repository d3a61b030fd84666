"""Golden cases of what keeps packets out: lists, ACL rules, bogons, checksums, rates; and the SYN proxy."""

import zlib

from scapy.all import ICMP, IP, SCTP, TCP, UDP, Ether, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6, SCTPChunkInit

from packets import (B1, BACKEND6, BACKENDS, Case, Cases, EDGE, GATEWAY, NAT, ONE_ARM, ONE_ARM_NEIGHBORS, OWN, OWN6,
                     SERVICE, SERVICE6, START, built, error_about, error_passed, forwarded, from_backend, from_client,
                     reset_of, returned, with_checksums)
from syn_cookies import Cookies

CASES = case = Cases()

# service, backend, our address, a client in a network and one beside it
FAMILIES = ((SERVICE, BACKENDS[0], OWN, "192.0.2.7", "192.0.2.200"),
            (SERVICE6, BACKEND6, OWN6, "2001:db8:99::7", "2001:db8:9a::7"))


def config(defence: str = "", of_service: str = "", protocols=("tcp", "udp")) -> str:
    def listens(address):
        return ", ".join(f'"{address}:{53 if protocol == "udp" else 80}/{protocol}"' for protocol in protocols)
    more = of_service + ", " if of_service else ""
    return ONE_ARM + ONE_ARM_NEIGHBORS + f"""
pools:
  web: {{ backends: [ {{ name: web1, address: {BACKENDS[0]}, port: 8080 }} ] }}
  web6: {{ backends: [ {{ name: web1, address: "{BACKEND6}", port: 8080 }} ] }}
services:
  web: {{ listen: [{listens(SERVICE)}], {more}forward: {{ mode: nat, pool: web }} }}
  web6: {{ listen: [{listens(f"[{SERVICE6}]")}], {more}forward: {{ mode: nat, pool: web6 }} }}
""" + (f"defence: {defence}\n" if defence else "")


class Flows:
    """Numbers the flows that are opened, and says what becomes of a packet towards a service."""

    def __init__(self, c: Case):
        self.c, self.number = c, 0

    def opens(self, packet, backend, own):
        self.number += 1
        return self.continues(packet, backend, own, self.number)

    def continues(self, packet, backend, own, number):
        sent = self.c.receive(packet)
        self.c.expect(forwarded(sent, number, backend=backend, own=own))
        return number

    def dropped(self, packet, reason, after=0.001):
        self.c.receive(packet, after=after)
        self.c.drop(reason)


def syn(source, service, port=40000):
    return from_client(TCP(sport=port, dport=80, flags="S", seq=zlib.crc32(source.encode()) + port & 0xFFFFFFFF), src=source,
                       dst=service)


def query(source, service, port=5353, size=0):
    return from_client(UDP(sport=port, dport=53) / f"from {source} {port}".encode().ljust(size), src=source, dst=service)


def pinged(c: Case, own, source):
    """Our own address answers."""
    if ":" in own:
        c.receive(from_client(ICMPv6EchoRequest(id=7), src=source, dst=own))
        c.expect(built(Ether(src=EDGE, dst=GATEWAY) / IPv6(src=own, dst=source, hlim=64) / ICMPv6EchoReply(id=7)))
    else:
        request = c.receive(from_client(ICMP(id=7), src=source, dst=own))
        c.expect(built(Ether(src=EDGE, dst=GATEWAY) / IP(src=own, dst=source, id=request[IP].id, ttl=64) / ICMP(type=0, id=7)))


def ping_of(own, source):
    return from_client(ICMPv6EchoRequest(id=7) if ":" in own else ICMP(id=7), src=source, dst=own)


# ---- lists and rules ----


@case
def deny_and_allow_lists():
    """A source on the allow list is not looked for on the deny list; both are of services and our own addresses."""
    c = Case(config("{ deny: CASE_FOLDER/deny.txt, allow: CASE_FOLDER/allow.txt }"),
             files={"deny.txt": "192.0.2.0/24 # a network\n2001:db8:99::/48\n", "allow.txt": "192.0.2.200\n2001:db8:99:1::/64\n"})
    flows = Flows(c)
    for service, backend, own, denied, _ in FAMILIES:
        allowed = "2001:db8:99:1::7" if ":" in own else "192.0.2.200"
        beside = "2001:db8:9a::7" if ":" in own else "198.18.0.1"
        flows.dropped(syn(denied, service), "denied")
        flows.dropped(query(denied, service), "denied")
        flows.dropped(ping_of(own, denied), "denied")
        for source in (allowed, beside):
            flows.opens(syn(source, service), backend, own)
            flows.opens(query(source, service), backend, own)
            pinged(c, own, source)
    return c


@case
def deny_and_allow_lists_of_a_service():
    c = Case(config(of_service="deny: CASE_FOLDER/all.txt, allow: CASE_FOLDER/offices.txt"),
             files={"all.txt": "0.0.0.0/0\n::/0\n", "offices.txt": "192.0.2.0/25\n2001:db8:99::/48\n"})
    flows = Flows(c)
    for service, backend, own, office, stranger in FAMILIES:
        flows.opens(syn(office, service), backend, own)
        flows.dropped(syn(stranger, service), "denied")
        pinged(c, own, stranger)
    return c


@case
def acl_rules_in_their_order():
    c = Case(config("""
  acl:
    - { action: allow, src: 192.0.2.7/32, protocol: tcp }
    - { action: deny, src: 192.0.2.0/25, protocol: tcp, dst_ports: 80 }
    - { action: allow, src: "2001:db8:99::7/128", protocol: tcp }
    - { action: deny, src: "2001:db8:99::/48", protocol: tcp, dst_ports: 80 }
    - { action: deny, protocol: udp, src_ports: 0-1023 }
    - { action: deny, protocol: icmp, dst: 198.51.100.0/24 }
    - { action: deny, protocol: icmpv6, dst: "2001:db8:1::/64" }"""))
    flows = Flows(c)
    for service, backend, own, allowed, beside in FAMILIES:
        denied = allowed[:-1] + "8"
        flows.opens(syn(allowed, service), backend, own)
        flows.dropped(syn(denied, service), "acl_denied")
        flows.opens(query(denied, service), backend, own)  # of another protocol
        for port in (53, 1023):
            flows.dropped(query(denied, service, port), "acl_denied")
        flows.opens(query(denied, service, 1024), backend, own)
        flows.opens(syn(beside, service), backend, own)
        flows.dropped(ping_of(own, allowed), "acl_denied")
    return c


@case
def acl_rules_of_a_service():
    """They come after those of all; a list ends with what passes unless it says otherwise."""
    c = Case(config("{ acl: [ { action: deny, protocol: udp } ] }",
                    'acl: [ { action: allow, src: 192.0.2.0/25 }, { action: allow, src: "2001:db8:99::/48" }, { action: deny } ]'))
    flows = Flows(c)
    for service, backend, own, allowed, stranger in FAMILIES:
        flows.opens(syn(allowed, service), backend, own)
        flows.dropped(query(allowed, service), "acl_denied")
        flows.dropped(syn(stranger, service), "acl_denied")
        pinged(c, own, stranger)
    return c


@case
def bogon_sources():
    c = Case(config("{ bogons: true, allow: CASE_FOLDER/lab.txt }"), files={"lab.txt": "10.9.0.0/16\n2001:db8:99::/48\n"})
    flows = Flows(c)
    for source in ("10.1.2.3", "100.64.0.1", "169.254.1.1", "172.31.255.254", "192.168.0.1", "192.0.2.7", "198.19.0.1", "250.1.1.1"):
        flows.dropped(syn(source, SERVICE), "bogon")
    for source in ("fc00::1", "2001:db8:1:2::3", "3ffe::1", "2001:10::1", "100::1"):
        flows.dropped(syn(source, SERVICE6), "bogon")
    for source in ("8.8.8.8", "172.32.0.1", "100.128.0.1", "10.9.1.1"):
        flows.opens(syn(source, SERVICE), BACKENDS[0], OWN)
    for source in ("2a00::1", "2001:db8:99::1"):
        flows.opens(syn(source, SERVICE6), BACKEND6, OWN6)
    return c


@case
def wrong_checksums_are_found_in_software():
    c = Case(config("{ checksums: verify }", protocols=("tcp", "udp", "sctp")))
    flows = Flows(c)
    for service, backend, own, source, _ in FAMILIES:
        for inner in (TCP(sport=40000, dport=80, flags="S", seq=1) / b"odd", UDP(sport=5353, dport=53) / b"query",
                      SCTP(sport=40000, dport=80) / SCTPChunkInit(init_tag=1)):
            right = from_client(inner, src=source, dst=service)
            wrong = right.copy()
            wrong[inner.__class__].chksum ^= 0x0100
            flows.dropped(built(wrong), "bad_checksum")
            flows.opens(right, backend, own)
    # None was computed (RFC 768); of IPv6 that is wrong (RFC 8200 section 8.1).
    none = from_client(UDP(sport=5354, dport=53, chksum=0) / b"another query")
    flows.number += 1
    expected = forwarded(c.receive(none), flows.number)
    expected[UDP].chksum = 0
    c.expect(built(expected))
    flows.dropped(from_client(UDP(sport=5354, dport=53, chksum=0) / b"query", dst=SERVICE6), "bad_checksum")
    return c


# ---- rates ----


@case
def packets_of_a_source_are_limited():
    """Ten a second, two at once; of each /25 and each /64, whatever they are for."""
    c = Case(config("{ source_limits: { packets: 10, burst: 200ms, prefix4: 25 } }"))
    flows = Flows(c)
    for service, backend, own, source, beside in FAMILIES:
        second = source[:-1] + "8"
        flows.opens(syn(source, service), backend, own)
        flows.opens(syn(second, service), backend, own)
        flows.dropped(syn(source, service), "source_packets")
        flows.dropped(query(second, service), "source_packets")
        flows.dropped(ping_of(own, source), "source_packets")
        flows.opens(syn(beside, service), backend, own)
        c.now += 0.1
        flows.opens(query(source, service), backend, own)
        flows.dropped(query(source, service), "source_packets")
        c.now += 10
        for port in (6001, 6002):
            flows.opens(query(source, service, port=port), backend, own)
        flows.dropped(query(source, service, port=6003), "source_packets")
    return c


@case
def bits_of_a_source_are_limited():
    """8,000 a second: two packets of 500 bytes with their IP headers, and after half a second one more."""
    c = Case(config("{ source_limits: { bits: 8k } }"))
    flows = Flows(c)
    for service, backend, own, source, beside in FAMILIES:
        size = 500 - 8 - (40 if ":" in service else 20)
        number = flows.opens(query(source, service, size=size), backend, own)
        flows.continues(query(source, service, size=size), backend, own, number)
        flows.dropped(query(source, service, size=size), "source_bits")
        flows.opens(query(beside, service, size=size), backend, own)
        c.now += 0.5
        flows.continues(query(source, service, size=size), backend, own, number)
        flows.dropped(query(source, service, size=size), "source_bits")
    return c


@case
def new_flows_of_a_source_are_limited():
    c = Case(config("{ source_limits: { flows: 2, burst: 1s } }"))
    flows = Flows(c)
    for service, backend, own, source, beside in FAMILIES:
        first = flows.opens(syn(source, service, 40001), backend, own)
        flows.opens(query(source, service, 5001), backend, own)
        flows.dropped(syn(source, service, 40002), "source_flows")
        flows.dropped(query(source, service, 5002), "source_flows")
        flows.continues(syn(source, service, 40001), backend, own, first)  # is known
        flows.opens(syn(beside, service, 40001), backend, own)
        c.now += 0.5
        flows.opens(syn(source, service, 40002), backend, own)
        flows.dropped(syn(source, service, 40003), "source_flows")
    return c


@case
def packets_of_a_service_are_limited():
    """Whoever sends them; our own addresses are no part of it."""
    c = Case(config(of_service="limits: { packets: 10, burst: 200ms }"))
    flows = Flows(c)
    for service, backend, own, source, beside in FAMILIES:
        flows.opens(syn(source, service), backend, own)
        flows.opens(query(beside, service), backend, own)
        flows.dropped(syn(source, service, 40001), "service_packets")
        flows.dropped(query(beside, service), "service_packets")
        pinged(c, own, source)
        c.now += 0.1
        flows.opens(syn(source, service, 40001), backend, own)
        flows.dropped(syn(source, service, 40001), "service_packets")
    return c


@case
def bits_of_a_service_are_limited():
    c = Case(config(of_service="limits: { bits: 8k }"))
    flows = Flows(c)
    for service, backend, own, source, beside in FAMILIES:
        size = 500 - 8 - (40 if ":" in service else 20)
        number = flows.opens(query(source, service, size=size), backend, own)
        flows.opens(query(beside, service, size=size), backend, own)
        flows.dropped(query(source, service, size=size), "service_bits")
        # What backends answer is no part of it.
        answer = c.receive(from_backend(UDP(sport=8080, dport=NAT(number)) / (b"a" * 1000), backend=backend, own=own))
        c.expect(returned(answer, 5353, client=source, service=service, service_port=53))
        c.now += 0.5
        flows.continues(query(source, service, size=size), backend, own, number)
        flows.dropped(query(source, service, size=size), "service_bits")
    return c


@case
def new_flows_of_a_service_are_limited():
    c = Case(config(of_service="limits: { flows: 2 }"))
    flows = Flows(c)
    for service, backend, own, source, beside in FAMILIES:
        first = flows.opens(syn(source, service, 40001), backend, own)
        flows.opens(syn(beside, service, 40001), backend, own)
        flows.dropped(syn(beside, service, 40002), "service_flows")
        flows.dropped(query(source, service, 5001), "service_flows")
        flows.continues(syn(source, service, 40001), backend, own, first)
        c.now += 0.5
        flows.opens(query(source, service, 5001), backend, own)
        flows.dropped(syn(source, service, 40003), "service_flows")
    return c


# ---- SYN proxy ----

LINUX = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (100, 0)), ("NOP", None), ("WScale", 7)]
CLIENT_ISN, BACKEND_ISN = 1000, 0xFFFFFF00  # which wraps amid the data


def stamps(value, echo):
    return [("NOP", None), ("NOP", None), ("Timestamp", (value & 0xFFFFFFFF, echo & 0xFFFFFFFF))]


def our_own(mac, src, dst, tcp):
    """A segment that sluice itself makes."""
    link = Ether(src=EDGE, dst=mac)
    return built(link / (IPv6(src=src, dst=dst, hlim=64) if ":" in dst else IP(src=src, dst=dst, id=0, flags="DF", ttl=64)) / tcp)


class Proxied:
    """One connection through the SYN proxy."""

    def __init__(self, c: Case, service, backend, own, client, number, port=40000, options=LINUX):
        self.c, self.service, self.backend, self.own, self.client = c, service, backend, own, client
        self.number, self.port, self.options = number, port, options
        self.cookies = Cookies(c.seed)

    def from_client(self, flags, seq, ack=0, options=(), payload=b"", window=8192):
        return from_client(TCP(sport=self.port, dport=80, flags=flags, seq=seq, ack=ack & 0xFFFFFFFF, options=list(options),
                               window=window) / payload, src=self.client, dst=self.service)

    def from_backend(self, flags, seq, ack, options=(), payload=b"", window=500):
        return from_backend(TCP(sport=8080, dport=NAT(self.number), flags=flags, seq=seq & 0xFFFFFFFF, ack=ack,
                                options=list(options), window=window) / payload, backend=self.backend, own=self.own)

    def to_client(self, **fields):
        return our_own(GATEWAY, self.service, self.client, TCP(sport=80, dport=self.port, **fields))

    def to_backend(self, **fields):
        return our_own(B1, self.own, self.backend, TCP(sport=NAT(self.number), dport=8080, **fields))

    def challenged(self):
        """SYN, and SYN, ACK with the cookie and a closed window."""
        said = dict(self.options)
        self.c.receive(self.from_client("S", CLIENT_ISN, options=self.options))
        now_ms = round((START + self.c.now) * 1000)
        self.cookie = self.cookies.make(self.client, self.service, self.port, 80, CLIENT_ISN,
                                        said.get("MSS", 1220 if ":" in self.service else 536), now_ms)
        mss = 1440 if ":" in self.service else 1460
        if "Timestamp" in said:
            self.clock = self.cookies.timestamp(now_ms, said.get("WScale", 15), "SAckOK" in said)
            options = [("MSS", mss), ("SAckOK", b""), ("Timestamp", (self.clock, 100)), ("NOP", None), ("WScale", 7)]
        else:
            self.clock, options = None, [("MSS", mss)]
        self.c.expect(self.to_client(flags="SA", seq=self.cookie, ack=CLIENT_ISN + 1, window=0, options=options))

    def answered(self):
        """The ACK that brings the cookie: the backend gets the client's SYN."""
        self.c.receive(self.from_client("A", CLIENT_ISN + 1, self.cookie + 1, self.stamped(110, self.clock), window=502))
        self.c.expect(self.to_backend(flags="S", seq=CLIENT_ISN, ack=0, window=502, options=self.opening()))

    def opening(self):
        if self.clock is None:
            return [("MSS", 1220 if ":" in self.service else 536)]
        return [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (110, 0)), ("NOP", None), ("WScale", 7)]

    def joined(self):
        """SYN, ACK of the backend: an ACK for it, and the client's window opens."""
        options = [("MSS", 1460)]
        if self.clock is not None:
            options += [("SAckOK", b""), ("Timestamp", (7000, 110)), ("NOP", None), ("WScale", 9)]
        self.c.receive(self.from_backend("SA", BACKEND_ISN, CLIENT_ISN + 1, options, window=64000))
        self.c.expect(self.to_backend(flags="A", seq=CLIENT_ISN + 1, ack=BACKEND_ISN + 1, window=502,
                                      options=self.stamped(110, 7000)))
        self.c.expect(self.to_client(flags="A", seq=self.cookie + 1 & 0xFFFFFFFF, ack=CLIENT_ISN + 1,
                                     window=64000 >> 7 if self.clock is not None else 64000,
                                     options=self.stamped(self.clock, 110)))

    def stamped(self, value, echo):
        return [] if self.clock is None else stamps(value, echo)

    def data_from_backend(self, flags, at, ack, payload, stamp):
        """`at`: bytes since the backend's SYN. 500 of its windows (scale 9) are 2,000 of those that the client was told (7)."""
        segment = self.c.receive(self.from_backend(flags, BACKEND_ISN + at, ack, self.stamped(7000 + stamp, 110), payload))
        shown = segment.copy()
        shown[TCP].seq = self.cookie + at & 0xFFFFFFFF
        if self.clock is not None:
            shown[TCP].options = stamps(self.clock + stamp, 110)
            shown[TCP].window = 2000
        out = returned(shown, self.port, client=self.client, service=self.service)
        self.c.expect(out)
        return segment, out

    def data_from_client(self, flags, seq, at, payload=b"", stamp=0, sack=()):
        shown = [("NOP", None), ("NOP", None), ("SAck", tuple(self.cookie + edge & 0xFFFFFFFF for edge in sack))] if sack else []
        told = [("NOP", None), ("NOP", None), ("SAck", tuple(BACKEND_ISN + edge & 0xFFFFFFFF for edge in sack))] if sack else []
        sent = self.c.receive(self.from_client(flags, seq, self.cookie + at, self.stamped(120, (self.clock or 0) + stamp) + shown,
                                               payload))
        moved = sent.copy()
        moved[TCP].ack = BACKEND_ISN + at & 0xFFFFFFFF
        moved[TCP].options = self.stamped(120, 7000 + stamp) + told
        self.c.expect(forwarded(moved, self.number, backend=self.backend, own=self.own))

    def error_about(self, segment, out, kind4, kind6):
        """A router on the client's side; the backend hears of its own number. Window and timestamps are quoted as they were."""
        router = "2001:db8:99::fe" if ":" in self.service else "192.0.2.254"
        error = self.c.receive(error_about(out, kind4, kind6, src=router, mac=GATEWAY))
        quoted = segment.copy()
        quoted[TCP].window, quoted[TCP].options = out[TCP].window, out[TCP].options
        self.c.expect(error_passed(error, with_checksums(quoted), kind4, kind6, src=self.own, mac=B1))


def exchange(c: Case, options, number, family):
    service, backend, own, client, _ = family
    flow = Proxied(c, service, backend, own, client, number, options=options)
    flow.challenged()
    flow.answered()
    flow.joined()
    flow.data_from_client("PA", CLIENT_ISN + 1, 1, b"GET / HTTP/1.0\r\n\r\n!")
    flow.data_from_backend("A", 1, CLIENT_ISN + 20, b"\xff" * 300, 5)  # over the end of the numbers
    segment, out = flow.data_from_backend("A", 301, CLIENT_ISN + 20, b"\xfe" * 101, 5)
    flow.data_from_client("A", CLIENT_ISN + 20, 1, stamp=5, sack=(301, 402))
    flow.error_about(segment, out, ICMP(type=3, code=4, nexthopmtu=1400), ICMPv6PacketTooBig(mtu=1400))
    flow.data_from_backend("FA", 402, CLIENT_ISN + 20, b"", 6)
    flow.data_from_client("FA", CLIENT_ISN + 20, 403, stamp=6)
    flow.data_from_backend("A", 403, CLIENT_ISN + 21, b"", 7)


@case
def syn_proxy4_connection():
    c = Case(config(of_service="syn_proxy: always"))
    exchange(c, LINUX, 1, FAMILIES[0])
    return c


@case
def syn_proxy6_connection():
    c = Case(config(of_service="syn_proxy: always"))
    exchange(c, LINUX, 1, FAMILIES[1])
    return c


@case
def syn_proxy_of_clients_without_options():
    """No timestamp that could carry them: neither window scale nor SACK, and the least segments."""
    c = Case(config(of_service="syn_proxy: always"))
    for number, family in enumerate(FAMILIES, start=1):
        exchange(c, [], number, family)
    return c


@case
def syn_proxy_above_a_threshold():
    """The third SYN within a second, of a service whose threshold is two, is the first that is answered; a quiet second later none is."""
    c = Case(config(of_service="syn_proxy: { above: 2 }"))
    flows = Flows(c)
    for service, backend, own, client, other in FAMILIES:
        for port in (41001, 41002):
            flows.opens(syn(client, service, port), backend, own)
        flow = Proxied(c, service, backend, own, other, flows.number + 1, port=41003)
        flow.challenged()
        flow.answered()
        flow.joined()
        flows.number += 1
        c.now += 3
        flows.opens(syn(client, service, 41004), backend, own)
    return c


@case
def syn_cookies_that_are_forged_or_old():
    c = Case(config(of_service="syn_proxy: always"))
    for service, backend, own, client, other in FAMILIES:
        flow = Proxied(c, service, backend, own, client, 1)
        flow.challenged()
        for ack in (flow.from_client("A", CLIENT_ISN + 1, flow.cookie + 2), flow.from_client("A", CLIENT_ISN + 3, flow.cookie + 1),
                    from_client(TCP(sport=40000, dport=80, flags="A", seq=CLIENT_ISN + 1, ack=flow.cookie + 1 & 0xFFFFFFFF), src=other,
                                dst=service)):
            c.expect(reset_of(c.receive(ack)))
            c.drop("bad_syn_cookie")
        c.now += 132
        c.expect(reset_of(c.receive(flow.from_client("A", CLIENT_ISN + 1, flow.cookie + 1))))
        c.drop("bad_syn_cookie")
    return c


@case
def syn_proxy_while_the_backend_is_silent():
    """Five SYNs, a second apart; what the client sends meanwhile will come again. Then the client is reset."""
    c = Case(config(of_service="syn_proxy: always"))
    for number, (service, backend, own, client, _) in enumerate(FAMILIES, start=1):
        flow = Proxied(c, service, backend, own, client, number)
        flow.challenged()
        flow.answered()
        began = c.now
        c.receive(flow.from_client("PA", CLIENT_ISN + 1, flow.cookie + 1, stamps(120, flow.clock), b"early"))
        c.drop("syn_proxy_waits")
        for second in range(1, 5):
            c.expect(flow.to_backend(flags="S", seq=CLIENT_ISN, ack=0, window=502, options=flow.opening()), at=began + second)
        c.expect(flow.to_client(flags="RA", seq=flow.cookie + 1 & 0xFFFFFFFF, ack=CLIENT_ISN + 1, window=0), at=began + 5)
        c.now += 6
        pinged(c, own, client)  # the clock of a capture runs as far as its packets
    return c


@case
def syn_proxy_of_a_backend_that_refuses():
    c = Case(config(of_service="syn_proxy: always"))
    for number, (service, backend, own, client, _) in enumerate(FAMILIES, start=1):
        flow = Proxied(c, service, backend, own, client, number)
        flow.challenged()
        flow.answered()
        c.receive(flow.from_backend("RA", 0, CLIENT_ISN + 1, window=0))
        c.expect(flow.to_client(flags="RA", seq=flow.cookie + 1 & 0xFFFFFFFF, ack=CLIENT_ISN + 1, window=0))
    return c
