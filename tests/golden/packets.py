"""What the golden cases are written with: names and addresses, configurations, packets as they come and as they must leave."""

import json
import pathlib

from scapy.all import (ARP, ICMP, IP, SCTP, TCP, UDP, Ether, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, Raw, raw, wrpcap)

HERE = pathlib.Path(__file__).parent
START = 1_700_000_000

# Replay gives the interfaces these addresses, in the order of the configuration.
EDGE, INSIDE = "02:00:00:00:00:01", "02:00:00:00:00:02"
GATEWAY, B1, B2, B3 = "02:00:00:00:ff:01", "02:00:00:00:bb:01", "02:00:00:00:bb:02", "02:00:00:00:bb:03"
BROADCAST = "ff:ff:ff:ff:ff:ff"

CLIENT, CLIENT6 = "192.0.2.7", "2001:db8:99::7"
OWN, OWN6 = "198.51.100.2", "2001:db8:1::2"
OWN_LINK_LOCAL = "fe80::ff:fe00:1"  # of EDGE: RFC 4291 appendix A
GW, GW6 = "198.51.100.1", "2001:db8:1::1"
SERVICE, SERVICE6 = "203.0.113.10", "2001:db8:5::10"
ON_LINK_SERVICE, ON_LINK_SERVICE6 = "198.51.100.80", "2001:db8:1::80"
BACKENDS = ["198.51.100.11", "198.51.100.12", "198.51.100.13"]
BACKEND6 = "2001:db8:1::11"
OWN_INSIDE, OWN_INSIDE6 = "192.0.2.130", "2001:db8:7::2"  # of INSIDE, as its backends
NEAR, NEAR6 = "192.0.2.131", "2001:db8:7::3"

ONE_ARM = f"""
runtime: {{ workers: [0], flows: 1024 }}
interfaces:
  edge: {{ device: net_null0, addresses: [{OWN}/24, "{OWN6}/64"], gateway: [{GW}, "{GW6}"] }}
"""
ONE_ARM_NEIGHBORS = f"""
neighbors:
  - {{ interface: edge, address: {GW}, mac: "{GATEWAY}" }}
  - {{ interface: edge, address: "{GW6}", mac: "{GATEWAY}" }}
  - {{ interface: edge, address: {BACKENDS[0]}, mac: "{B1}" }}
  - {{ interface: edge, address: {BACKENDS[1]}, mac: "{B2}" }}
  - {{ interface: edge, address: {BACKENDS[2]}, mac: "{B3}" }}
  - {{ interface: edge, address: "{BACKEND6}", mac: "{B1}" }}
"""
ONE_BACKEND = f"""
pools:
  web: {{ backends: [ {{ name: web1, address: {BACKENDS[0]}, port: 8080 }} ] }}
  web6: {{ backends: [ {{ name: web1, address: "{BACKEND6}", port: 8080 }} ] }}
services:
  web: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp", "{ON_LINK_SERVICE}:80/tcp"], forward: {{ mode: nat, pool: web }} }}
  web6: {{ listen: ["[{SERVICE6}]:80/tcp", "[{SERVICE6}]:53/udp", "[{ON_LINK_SERVICE6}]:80/tcp"], forward: {{ mode: nat, pool: web6 }} }}
"""
SIMPLE = ONE_ARM + ONE_ARM_NEIGHBORS + ONE_BACKEND
HEALTH = "health: { tcp: {} }, "


def two_armed(edge_mtu: int, inside_mtu: int, listen: str) -> str:
    """Clients on one interface, backends on the other: NEAR, NEAR6."""
    return f"""
runtime: {{ workers: [0], flows: 1024 }}
interfaces:
  edge: {{ device: net_null0, mtu: {edge_mtu}, addresses: [{OWN}/24, "{OWN6}/64"], gateway: [{GW}, "{GW6}"] }}
  inside: {{ device: net_null1, mtu: {inside_mtu}, addresses: [{OWN_INSIDE}/25, "{OWN_INSIDE6}/64"] }}
neighbors:
  - {{ interface: edge, address: {GW}, mac: "{GATEWAY}" }}
  - {{ interface: edge, address: "{GW6}", mac: "{GATEWAY}" }}
  - {{ interface: inside, address: {NEAR}, mac: "{B1}" }}
  - {{ interface: inside, address: "{NEAR6}", mac: "{B1}" }}
pools:
  web: {{ backends: [ {{ name: web1, address: {NEAR}, port: 8080 }} ] }}
  web6: {{ backends: [ {{ name: web1, address: "{NEAR6}", port: 8080 }} ] }}
services:
  web: {{ listen: {listen}, forward: {{ mode: nat, pool: web }} }}
  web6: {{ listen: "[{SERVICE6}]:53/udp", forward: {{ mode: nat, pool: web6 }} }}
"""


def pool_of(balance: str, count: int) -> str:
    rows = ", ".join(f"{{ name: web{i + 1}, address: {BACKENDS[i]}, port: 8080 }}" for i in range(count))
    return f"""
pools:
  web: {{ balance: {balance}, backends: [ {rows} ] }}
services:
  web: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp"], forward: {{ mode: nat, pool: web }} }}
"""


def NAT(number: int) -> int:
    """Stands for the NAT port of a case's first, second, ... flow; no real one is below 1024."""
    return number


def ECHO(number: int) -> int:
    """The same for the identifier of an echo that is forwarded; no case uses one so high."""
    return 65000 + number


def built(packet):
    """All fields that scapy fills in, filled in."""
    return packet.__class__(raw(packet))


def from_client(inner, src=CLIENT, dst=SERVICE, mac=GATEWAY, to=EDGE, **ip):
    if ":" in dst:
        return built(Ether(src=mac, dst=to) / IPv6(src=CLIENT6 if src == CLIENT else src, dst=dst, **ip) / inner)
    return built(Ether(src=mac, dst=to) / IP(src=src, dst=dst, **ip) / inner)


def with_checksums(packet):
    """The packet with its checksums computed anew: what a correct rewrite of a correct packet gives."""
    packet = packet.copy()
    for layer in (IP, TCP, UDP, SCTP, ICMP):
        if packet.haslayer(layer):
            del packet[layer].chksum
    for layer in (ICMPv6EchoRequest, ICMPv6EchoReply):
        if packet.haslayer(layer):
            del packet[layer].cksum
    return built(packet)


def cut_to_fit(packet, mtu):
    """RFC 791 section 3.2: an IPv4 packet in fragments of at most `mtu` bytes. It may be a fragment itself. Options that are not
    marked to be copied are the first one's alone (section 3.1)."""
    ip = packet[IP]
    payload, at, out = raw(ip)[ip.ihl * 4:ip.len], 0, []
    while at < len(payload):
        part = packet.copy()
        part[IP].remove_payload()
        if at != 0:
            part[IP].options = [option for option in ip.options if option.copy_flag]
        del part[IP].ihl, part[IP].len, part[IP].chksum
        part = built(part)
        left, room = len(payload) - at, mtu - part[IP].ihl * 4
        size = left if left <= room else room // 8 * 8
        part[IP].frag = ip.frag + at // 8
        part[IP].flags = "MF" if size < left else ip.flags
        del part[IP].len, part[IP].chksum
        out.append(built(part / Raw(payload[at:at + size])))
        at += size
    return out


def one_hop_on(packet):
    out = packet.copy()
    if out.haslayer(IP):
        out[IP].ttl -= 1
        del out[IP].chksum
    else:
        out[IPv6].hlim -= 1
    return built(out)


def handed_on(packet, mac):
    """Mode dsr: one hop, and another MAC address."""
    out = one_hop_on(packet)
    out[Ether].src, out[Ether].dst = EDGE, mac
    return built(out)


def l4_of(packet):
    for layer in (TCP, UDP, SCTP):
        if packet.haslayer(layer):
            return packet[layer]
    raise ValueError(packet.summary())


def rewritten(packet, *, src, sport, dst, dport, mac_src, mac_dst):
    """A NAT's rewrite: addresses and ports, one off the TTL or hop limit, checksums; nothing else."""
    out = packet.copy()
    out[Ether].src, out[Ether].dst = mac_src, mac_dst
    ip = out[IP] if out.haslayer(IP) else out[IPv6]
    ip.src, ip.dst = src, dst
    if out.haslayer(IP):
        ip.ttl -= 1
    else:
        ip.hlim -= 1
    l4 = l4_of(out)
    l4.sport, l4.dport = sport, dport
    return with_checksums(out)


def forwarded(packet, nat, backend=BACKENDS[0], mac=B1, own=OWN, mac_src=EDGE):
    return rewritten(packet, src=own, sport=NAT(nat), dst=backend, dport=8080, mac_src=mac_src, mac_dst=mac)


def from_backend(inner, backend=BACKENDS[0], mac=B1, own=OWN, to=EDGE, **ip):
    family = IPv6 if ":" in own else IP
    return built(Ether(src=mac, dst=to) / family(src=backend, dst=own, **ip) / inner)


def returned(packet, sport, client=CLIENT, service=SERVICE, service_port=80, mac=GATEWAY, mac_src=EDGE):
    return rewritten(packet, src=service, sport=service_port, dst=client, dport=sport, mac_src=mac_src, mac_dst=mac)


def rfc1624(checksum: int, old: bytes, new: bytes) -> int:
    """RFC 1624 equation 3: HC' = ~(~HC + ~m + m')."""
    total = ~checksum & 0xFFFF
    for data, invert in ((old, True), (new, False)):
        for i in range(0, len(data), 2):
            word = data[i] << 8 | data[i + 1]
            total += ~word & 0xFFFF if invert else word
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Case:
    def __init__(self, config: str, seed: int = 1, down=(), two=False, files=None, fresh_ids=False):
        """`files`: by name, what the configuration reads of CASE_FOLDER. `fresh_ids`: sluice chooses identifiers of fragments."""
        self.config, self.seed, self.down, self.files = config.lstrip("\n"), seed, list(down), files or {}
        self.fresh_ids = fresh_ids
        self.names = ["edge", "inside"] if two else ["edge"]
        self.inputs = {name: [] for name in self.names}
        self.alternatives = [{name: [] for name in self.names}]
        self.drops = {}
        self.now = 0.0

    def receive(self, packet, interface="edge", after=0.001):
        self.now = round(self.now + after, 6)
        packet = packet.copy()
        packet.time = START + self.now
        self.inputs[interface].append(packet)
        return packet

    def expect(self, packet, interface="edge", at=None, alternative=0):
        while len(self.alternatives) <= alternative:
            self.alternatives.append({name: [] for name in self.names})
        packet = packet.copy()
        packet.time = START + (self.now if at is None else at)
        self.alternatives[alternative][interface].append(packet)
        return packet

    def drop(self, reason: str, count: int = 1):
        self.drops[reason] = self.drops.get(reason, 0) + count

    def write(self, name: str):
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        (folder / "sluice.yaml").write_text(self.config)
        for file, text in self.files.items():
            (folder / file).write_text(text)
        facts = {"drops": self.drops, "seed": self.seed, "down": self.down}
        if self.fresh_ids:
            facts["fresh_ids"] = True
        (folder / "case.json").write_text(json.dumps(facts, indent=2) + "\n")
        for interface, packets in self.inputs.items():
            wrpcap(str(folder / f"in_{interface}.pcap"), packets, linktype=1, nano=True)
        for number, expected in enumerate(self.alternatives):
            suffix = f"-{number}" if len(self.alternatives) > 1 else ""
            for interface, packets in expected.items():
                wrpcap(str(folder / f"expect{suffix}_{interface}.pcap"), packets, linktype=1, nano=True)


class Cases(dict):
    """The cases of a file, by name: `@case` adds the function that makes one."""

    def __call__(self, function):
        self[function.__name__] = function
        return function


def reset_of(packet):
    """RFC 9293 section 3.10.7.1; from the packet's destination to its source."""
    tcp = packet[TCP]
    ip = packet[IP] if packet.haslayer(IP) else packet[IPv6]
    length = len(tcp.payload) + (1 if "S" in tcp.flags else 0) + (1 if "F" in tcp.flags else 0)
    if "A" in tcp.flags:
        answer = TCP(sport=tcp.dport, dport=tcp.sport, flags="R", seq=tcp.ack, ack=0, window=0)
    else:
        answer = TCP(sport=tcp.dport, dport=tcp.sport, flags="RA", seq=0, ack=tcp.seq + length, window=0)
    link = Ether(src=packet[Ether].dst, dst=packet[Ether].src)
    if packet.haslayer(IP):
        return built(link / IP(src=ip.dst, dst=ip.src, id=0, flags="DF", ttl=64) / answer)
    return built(link / IPv6(src=ip.dst, dst=ip.src, hlim=64) / answer)


def icmp_error_of(packet, icmp4=None, icmp6=None, src=None):
    """RFC 1812 section 4.3.2, RFC 4443 section 2.4: quotes what fits 576 and 1,280 bytes."""
    link = Ether(src=packet[Ether].dst, dst=packet[Ether].src)
    if packet.haslayer(IP):
        quoted = raw(packet[IP])[:packet[IP].len][:576 - 28]
        return built(link / IP(src=src or packet[IP].dst, dst=packet[IP].src, tos=0xC0, id=0, flags="DF", ttl=64) / icmp4 /
                     Raw(quoted))
    quoted = raw(packet[IPv6])[:1280 - 48]
    return built(link / IPv6(src=src or packet[IPv6].dst, dst=packet[IPv6].src, hlim=64) / icmp6 / Raw(quoted))


def error_about(packet, icmp4=None, icmp6=None, *, src, mac, quote=None, ttl=60):
    """What a router at `src` says of a packet that it was to carry: the first `quote` bytes, or all."""
    link = Ether(src=mac, dst=EDGE)
    if packet.haslayer(IP):
        return built(link / IP(src=src, dst=packet[IP].src, ttl=ttl, id=77) / icmp4 / Raw(raw(packet[IP])[:quote]))
    return built(link / IPv6(src=src, dst=packet[IPv6].src, hlim=ttl) / icmp6 / Raw(raw(packet[IPv6])[:quote]))


def error_passed(error, original, icmp4=None, icmp6=None, *, src, mac, quote=None):
    """The same error as the NAT passes it on: about the packet as its sender sent it, one hop on its way."""
    original = original.copy()
    if original.haslayer(IP):
        original[IP].ttl -= 1
        out = error_about(with_checksums(original), icmp4, src=src, mac=mac, quote=quote, ttl=error[IP].ttl - 1)
    else:
        original[IPv6].hlim -= 1
        out = error_about(original, icmp6=icmp6, src=src, mac=mac, quote=quote, ttl=error[IPv6].hlim - 1)
    out[Ether].src, out[Ether].dst = EDGE, mac
    return built(out)


def solicited_node(target):
    low = raw(IPv6(dst=target))[-3:]
    return "ff02::1:ff%02x:%02x%02x" % tuple(low), "33:33:ff:%02x:%02x:%02x" % tuple(low)


def arp_request(target=BACKENDS[0]):
    return built(Ether(src=EDGE, dst=BROADCAST) / ARP(op=1, hwsrc=EDGE, psrc=OWN, pdst=target))
