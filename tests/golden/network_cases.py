"""Golden cases of the network around: VLANs. make_cases.py writes them."""

from scapy.all import ARP, ICMP, IP, TCP, UDP, Dot1AD, Dot1Q, Ether, IPv6, ICMPv6EchoReply, ICMPv6EchoRequest, raw

from packets import (B1, B2, BROADCAST, CLIENT, CLIENT6, Case, EDGE, GATEWAY, GW, GW6, NAT, SERVICE, SERVICE6, built,
                     forwarded, from_backend, from_client, returned)

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


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
