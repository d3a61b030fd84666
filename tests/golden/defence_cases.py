"""Golden cases of what keeps packets out: lists, ACL rules, bogons, checksums, rates; and the SYN proxy."""

import itertools
import zlib

from scapy.all import (ICMP, IP, SCTP, TCP, UDP, Ether, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6, SCTPChunkAbort,
                       SCTPChunkCookieAck, SCTPChunkCookieEcho, SCTPChunkData, SCTPChunkHeartbeatReq, SCTPChunkInit, SCTPChunkInitAck)

from packets import (B1, BACKEND6, BACKENDS, Case, Cases, EDGE, GATEWAY, NAT, ONE_ARM, ONE_ARM_NEIGHBORS, OWN, OWN6,
                     SERVICE, SERVICE6, START, built, error_about, error_passed, forwarded, from_backend, from_client,
                     reset_of, returned, with_checksums)
from syn_cookies import Cookies

CASES = case = Cases()


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


class Side:
    """The services of one family in a case: what clients send to them, and what becomes of it. Flows are numbered over the whole
    case."""

    def __init__(self, c: Case, numbers, service, backend, own):
        self.c, self.numbers, self.service, self.backend, self.own = c, numbers, service, backend, own
        self.v6 = ":" in service

    def syn(self, source, port=40000):
        return self.packet(TCP(sport=port, dport=80, flags="S", seq=zlib.crc32(source.encode()) + port & 0xFFFFFFFF), source)

    def query(self, source, port=5353, ip_bytes=0):
        """`ip_bytes`: with its headers; 0: as it comes."""
        payload = f"from {source} {port}".encode()
        return self.packet(UDP(sport=port, dport=53) / payload.ljust(ip_bytes - (48 if self.v6 else 28)), source)

    def packet(self, inner, source):
        return from_client(inner, src=source, dst=self.service)

    def ping(self, source):
        """Of our own address."""
        return from_client(ICMPv6EchoRequest(id=7) if self.v6 else ICMP(id=7), src=source, dst=self.own)

    def opens(self, packet):
        number = next(self.numbers)
        self.continues(packet, number)
        return number

    def continues(self, packet, number):
        self.c.expect(forwarded(self.c.receive(packet), number, backend=self.backend, own=self.own))

    def dropped(self, packet, reason, after=0.001):
        self.c.receive(packet, after=after)
        self.c.drop(reason)

    def pinged(self, source):
        """Our own address answers."""
        request = self.c.receive(self.ping(source))
        link = Ether(src=EDGE, dst=GATEWAY)
        if self.v6:
            self.c.expect(built(link / IPv6(src=self.own, dst=source, hlim=64) / ICMPv6EchoReply(id=7)))
        else:
            self.c.expect(built(link / IP(src=self.own, dst=source, id=request[IP].id, ttl=64) / ICMP(type=0, id=7)))


def sides(c: Case):
    """Each with a client in a network and one beside it."""
    numbers = itertools.count(1)
    return ((Side(c, numbers, SERVICE, BACKENDS[0], OWN), "192.0.2.7", "192.0.2.200"),
            (Side(c, numbers, SERVICE6, BACKEND6, OWN6), "2001:db8:99::7", "2001:db8:9a::7"))


# ---- forged segments of flows ----


@case
def forged_segments_end_no_connection():
    """RFC 5961: who does not see a connection does not know its numbers, and cannot teach them to the flow either."""
    c = Case(config())
    for side, client, _ in sides(c):
        def sent(number, flags, seq, ack, data=b"", after=0.001):
            packet = side.packet(TCP(sport=40000, dport=80, flags=flags, seq=seq, ack=ack) / data, client)
            c.expect(forwarded(c.receive(packet, after=after), number, backend=side.backend, own=side.own))

        def answered(number, flags, seq, ack):
            answer = c.receive(from_backend(TCP(sport=8080, dport=NAT(number), flags=flags, seq=seq, ack=ack), backend=side.backend,
                                            own=side.own))
            c.expect(returned(answer, 40000, client=client, service=side.service))

        number = next(side.numbers)
        sent(number, "S", 1000, 0)
        answered(number, "SA", 5000, 1001)
        sent(number, "A", 1001, 5001)
        for flags in ("A", "FA"):
            sent(number, flags, 0x90000000, 1)
            sent(number, "R", 0x90000001 if "F" in flags else 0x90000000, 0)
            sent(number, "S", 77, 0)  # on a flow that has ended it would begin another, with another port
        sent(number, "PA", 1001, 5001, b"hello", after=11.0)
        answered(number, "A", 5001, 1006)
    return c


@case
def forged_chunks_end_no_association():
    """RFC 9260 section 8.5.1: an ABORT without the right verification tag is none."""
    c = Case(config(protocols=("sctp",)))
    for side, client, _ in sides(c):
        def sent(tag, chunks, after=0.001):
            packet = side.packet(SCTP(sport=40000, dport=80, tag=tag) / chunks, client)
            c.expect(forwarded(c.receive(packet, after=after), number, backend=side.backend, own=side.own))

        def answered(tag, chunks):
            answer = c.receive(from_backend(SCTP(sport=8080, dport=NAT(number), tag=tag) / chunks, backend=side.backend, own=side.own))
            c.expect(returned(answer, 40000, client=client, service=side.service))

        number = next(side.numbers)
        sent(0, SCTPChunkInit(init_tag=0x1111))
        answered(0x1111, SCTPChunkInitAck(init_tag=0x2222))
        sent(0x2222, SCTPChunkCookieEcho(cookie=b"four"))
        answered(0x1111, SCTPChunkCookieAck())
        sent(0x4444, SCTPChunkData(tsn=1, data=b"forg"))
        sent(0x4444, SCTPChunkAbort())
        sent(0x2222, SCTPChunkHeartbeatReq(), after=31.0)  # the interval of section 8.3
        answered(0x1111, SCTPChunkData(tsn=9, data=b"data"))
    return c


# ---- lists and rules ----


@case
def deny_and_allow_lists():
    """A source on the allow list is not looked for on the deny list; both are of services and our own addresses."""
    c = Case(config("{ deny: CASE_FOLDER/deny.txt, allow: CASE_FOLDER/allow.txt }"),
             files={"deny.txt": "192.0.2.0/24 # a network\n2001:db8:99::/48\n", "allow.txt": "192.0.2.200\n2001:db8:99:1::/64\n"})
    for side, denied, _ in sides(c):
        allowed = "2001:db8:99:1::7" if side.v6 else "192.0.2.200"
        beside = "2001:db8:9a::7" if side.v6 else "198.18.0.1"
        side.dropped(side.syn(denied), "denied")
        side.dropped(side.query(denied), "denied")
        side.dropped(side.ping(denied), "denied")
        for source in (allowed, beside):
            side.opens(side.syn(source))
            side.opens(side.query(source))
            side.pinged(source)
    return c


@case
def deny_and_allow_lists_of_a_service():
    c = Case(config(of_service="deny: CASE_FOLDER/all.txt, allow: CASE_FOLDER/offices.txt"),
             files={"all.txt": "0.0.0.0/0\n::/0\n", "offices.txt": "192.0.2.0/25\n2001:db8:99::/48\n"})
    for side, office, stranger in sides(c):
        side.opens(side.syn(office))
        side.dropped(side.syn(stranger), "denied")
        side.pinged(stranger)
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
    for side, allowed, beside in sides(c):
        denied = allowed[:-1] + "8"
        side.opens(side.syn(allowed))
        side.dropped(side.syn(denied), "acl_denied")
        side.opens(side.query(denied))  # of another protocol
        for port in (53, 1023):
            side.dropped(side.query(denied, port), "acl_denied")
        side.opens(side.query(denied, 1024))
        side.opens(side.syn(beside))
        side.dropped(side.ping(allowed), "acl_denied")
    return c


@case
def acl_rules_of_a_service():
    """They come after those of all; a list ends with what passes unless it says otherwise."""
    c = Case(config("{ acl: [ { action: deny, protocol: udp } ] }",
                    'acl: [ { action: allow, src: 192.0.2.0/25 }, { action: allow, src: "2001:db8:99::/48" }, { action: deny } ]'))
    for side, allowed, stranger in sides(c):
        side.opens(side.syn(allowed))
        side.dropped(side.query(allowed), "acl_denied")
        side.dropped(side.syn(stranger), "acl_denied")
        side.pinged(stranger)
    return c


@case
def bogon_sources():
    c = Case(config("{ bogons: true, allow: CASE_FOLDER/lab.txt }"), files={"lab.txt": "10.9.0.0/16\n2001:db8:99::/48\n"})
    (four, *_), (six, *_) = sides(c)
    for source in ("10.1.2.3", "100.64.0.1", "169.254.1.1", "172.31.255.254", "192.168.0.1", "192.0.2.7", "198.19.0.1", "250.1.1.1"):
        four.dropped(four.syn(source), "bogon")
    for source in ("fc00::1", "2001:db8:1:2::3", "3ffe::1", "2001:10::1", "100::1"):
        six.dropped(six.syn(source), "bogon")
    for source in ("8.8.8.8", "172.32.0.1", "100.128.0.1", "10.9.1.1"):
        four.opens(four.syn(source))
    for source in ("2a00::1", "2001:db8:99::1"):
        six.opens(six.syn(source))
    return c


@case
def wrong_checksums_are_found_in_software():
    c = Case(config("{ checksums: verify }", protocols=("tcp", "udp", "sctp")))
    (four, client, _), (six, client6, _) = sides(c)
    for side, source in ((four, client), (six, client6)):
        for inner in (TCP(sport=40000, dport=80, flags="S", seq=1) / b"odd", UDP(sport=5353, dport=53) / b"query",
                      SCTP(sport=40000, dport=80) / SCTPChunkInit(init_tag=1)):
            right = side.packet(inner, source)
            wrong = right.copy()
            wrong[inner.__class__].chksum ^= 0x0100
            side.dropped(built(wrong), "bad_checksum")
            side.opens(right)
    # None was computed (RFC 768); of IPv6 that is wrong (RFC 8200 section 8.1).
    none = c.receive(four.packet(UDP(sport=5354, dport=53, chksum=0) / b"another query", client))
    expected = forwarded(none, next(four.numbers))
    expected[UDP].chksum = 0
    c.expect(built(expected))
    six.dropped(six.packet(UDP(sport=5354, dport=53, chksum=0) / b"query", client6), "bad_checksum")
    return c


# ---- rates ----


@case
def packets_of_a_source_are_limited():
    """Ten a second, two at once; of each /25 and each /64, whatever they are for."""
    c = Case(config("{ source_limits: { packets: 10, burst: 200ms, prefix4: 25 } }"))
    for side, source, beside in sides(c):
        second = source[:-1] + "8"
        side.opens(side.syn(source))
        side.opens(side.syn(second))
        side.dropped(side.syn(source), "source_packets")
        side.dropped(side.query(second), "source_packets")
        side.dropped(side.ping(source), "source_packets")
        side.opens(side.syn(beside))
        c.now += 0.1
        side.opens(side.query(source))
        side.dropped(side.query(source), "source_packets")
        c.now += 10
        for port in (6001, 6002):
            side.opens(side.query(source, port=port))
        side.dropped(side.query(source, port=6003), "source_packets")
    return c


@case
def bits_of_a_source_are_limited():
    """8,000 a second: two packets of 500 bytes with their IP headers, and after half a second one more."""
    c = Case(config("{ source_limits: { bits: 8k } }"))
    for side, source, beside in sides(c):
        number = side.opens(side.query(source, ip_bytes=500))
        side.continues(side.query(source, ip_bytes=500), number)
        side.dropped(side.query(source, ip_bytes=500), "source_bits")
        side.opens(side.query(beside, ip_bytes=500))
        c.now += 0.5
        side.continues(side.query(source, ip_bytes=500), number)
        side.dropped(side.query(source, ip_bytes=500), "source_bits")
    return c


@case
def new_flows_of_a_source_are_limited():
    c = Case(config("{ source_limits: { flows: 2, burst: 1s } }"))
    for side, source, beside in sides(c):
        first = side.opens(side.syn(source, 40001))
        side.opens(side.query(source, 5001))
        side.dropped(side.syn(source, 40002), "source_flows")
        side.dropped(side.query(source, 5002), "source_flows")
        side.continues(side.syn(source, 40001), first)  # is known
        side.opens(side.syn(beside, 40001))
        c.now += 0.5
        side.opens(side.syn(source, 40002))
        side.dropped(side.syn(source, 40003), "source_flows")
    return c


@case
def packets_of_a_service_are_limited():
    """Whoever sends them; our own addresses are no part of it."""
    c = Case(config(of_service="limits: { packets: 10, burst: 200ms }"))
    for side, source, beside in sides(c):
        side.opens(side.syn(source))
        side.opens(side.query(beside))
        side.dropped(side.syn(source, 40001), "service_packets")
        side.dropped(side.query(beside), "service_packets")
        side.pinged(source)
        c.now += 0.1
        side.opens(side.syn(source, 40001))
        side.dropped(side.syn(source, 40001), "service_packets")
    return c


@case
def bits_of_a_service_are_limited():
    c = Case(config(of_service="limits: { bits: 8k }"))
    for side, source, beside in sides(c):
        number = side.opens(side.query(source, ip_bytes=500))
        side.opens(side.query(beside, ip_bytes=500))
        side.dropped(side.query(source, ip_bytes=500), "service_bits")
        # What backends answer is no part of it.
        answer = c.receive(from_backend(UDP(sport=8080, dport=NAT(number)) / (b"a" * 1000), backend=side.backend, own=side.own))
        c.expect(returned(answer, 5353, client=source, service=side.service, service_port=53))
        c.now += 0.5
        side.continues(side.query(source, ip_bytes=500), number)
        side.dropped(side.query(source, ip_bytes=500), "service_bits")
    return c


@case
def new_flows_of_a_service_are_limited():
    c = Case(config(of_service="limits: { flows: 2 }"))
    for side, source, beside in sides(c):
        first = side.opens(side.syn(source, 40001))
        side.opens(side.syn(beside, 40001))
        side.dropped(side.syn(beside, 40002), "service_flows")
        side.dropped(side.query(source, 5001), "service_flows")
        side.continues(side.syn(source, 40001), first)
        c.now += 0.5
        side.opens(side.query(source, 5001))
        side.dropped(side.syn(source, 40003), "service_flows")
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

    def __init__(self, side: Side, client, port=40000, options=LINUX):
        self.c, self.service, self.backend, self.own, self.client = side.c, side.service, side.backend, side.own, client
        self.number, self.port, self.options = next(side.numbers), port, options
        self.cookies = Cookies(side.c.seed)

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


def opening(side: Side, client, **options):
    """A flow whose backend was sent a SYN."""
    flow = Proxied(side, client, **options)
    flow.challenged()
    flow.answered()
    return flow


def exchange(side: Side, client, options=LINUX):
    flow = opening(side, client, options=options)
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
    (side, client, _), _ = sides(c)
    exchange(side, client)
    return c


@case
def syn_proxy6_connection():
    c = Case(config(of_service="syn_proxy: always"))
    _, (side, client, _) = sides(c)
    exchange(side, client)
    return c


@case
def syn_proxy_of_clients_without_options():
    """No timestamp that could carry them: neither window scale nor SACK, and the least segments."""
    c = Case(config(of_service="syn_proxy: always"))
    for side, client, _ in sides(c):
        exchange(side, client, [])
    return c


@case
def syn_proxy_above_a_threshold():
    """The third SYN within a second, of a service whose threshold is two, is the first that is answered; a quiet second later none is."""
    c = Case(config(of_service="syn_proxy: { above: 2 }"))
    for side, client, other in sides(c):
        for port in (41001, 41002):
            side.opens(side.syn(client, port))
        opening(side, other, port=41003).joined()
        c.now += 3
        side.opens(side.syn(client, 41004))
    return c


@case
def syn_cookies_that_are_forged_or_old():
    c = Case(config(of_service="syn_proxy: always"))
    for side, client, other in sides(c):
        flow = Proxied(side, client)
        flow.challenged()
        for ack in (flow.from_client("A", CLIENT_ISN + 1, flow.cookie + 2), flow.from_client("A", CLIENT_ISN + 3, flow.cookie + 1),
                    side.packet(TCP(sport=40000, dport=80, flags="A", seq=CLIENT_ISN + 1, ack=flow.cookie + 1 & 0xFFFFFFFF), other)):
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
    for side, client, _ in sides(c):
        flow = opening(side, client)
        began = c.now
        c.receive(flow.from_client("PA", CLIENT_ISN + 1, flow.cookie + 1, stamps(120, flow.clock), b"early"))
        c.drop("syn_proxy_waits")
        for second in range(1, 5):
            c.expect(flow.to_backend(flags="S", seq=CLIENT_ISN, ack=0, window=502, options=flow.opening()), at=began + second)
        c.expect(flow.to_client(flags="RA", seq=flow.cookie + 1 & 0xFFFFFFFF, ack=CLIENT_ISN + 1, window=0), at=began + 5)
        c.now += 6
        side.pinged(client)  # the clock of a capture runs as far as its packets
    return c


@case
def syn_proxy_of_a_backend_that_refuses():
    c = Case(config(of_service="syn_proxy: always"))
    for side, client, _ in sides(c):
        flow = opening(side, client)
        c.receive(flow.from_backend("RA", 0, CLIENT_ISN + 1, window=0))
        c.expect(flow.to_client(flags="RA", seq=flow.cookie + 1 & 0xFFFFFFFF, ack=CLIENT_ISN + 1, window=0))
    return c
