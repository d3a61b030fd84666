"""Golden cases of mode esp. What is sealed must be, byte for byte, what scapy's IPsec makes; what is opened was made by it.
make_cases.py writes them."""

from scapy.all import ICMP, IP, TCP, UDP, Ether, IPv6, Raw, raw
from scapy.layers.ipsec import ESP, SecurityAssociation

from packets import (B1, BACKEND6, BACKENDS, Case, Cases, CLIENT, CLIENT6, EDGE, GATEWAY, ONE_ARM, ONE_ARM_NEIGHBORS,
                     OWN, OWN6, SERVICE, SERVICE6, built, from_client, one_hop_on)
from tunnel_cases import (cut_for_a_tunnel, error_from_the_network, errors_without_an_entry, inner_of, ip4_up_to, ip6_up_to,
                          large_errors, link, outer_ip, packets_of_all_kinds, ttl_used_up_at)

CASES = case = Cases()
KEY128 = bytes(range(16, 36))  # with its salt, as all of them
KEY256 = bytes(range(100, 136))
KEY_IN = bytes(range(50, 70))
KEY_OLD = bytes(range(150, 170))


def esp_config(backend=BACKENDS[0], key=KEY128, esn=False, forward="mode: esp", inbound="") -> str:
    return ONE_ARM + ONE_ARM_NEIGHBORS + f"""
pools:
  web: {{ backends: [ {{ name: web1, address: "{backend}" }} ] }}
services:
  web: {{ listen: ["{SERVICE}:80/tcp", "{SERVICE}:53/udp"], forward: {{ pool: web, {forward} }} }}
  web6: {{ listen: ["[{SERVICE6}]:80/tcp", "[{SERVICE6}]:53/udp"], forward: {{ pool: web, {forward} }} }}
esp:
  peers:
    - address: "{backend}"
      out: {{ spi: 0x1000, key: 0x{key.hex()}, esn: {str(esn).lower()} }}
""" + inbound


class Sealer:
    """An association as scapy has it; numbers and IVs count from 1."""

    def __init__(self, spi=0x1000, key=KEY128, esn=False):
        self.esn, self.number = esn, 0
        self.sa = SecurityAssociation(ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=key, auth_algo="NULL", auth_key=None,
                                      tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"), esn_en=esn)

    def esp(self, inner, number=None) -> bytes:
        """The ESP packet without its outer header."""
        self.number = self.number + 1 if number is None else number
        sealed = self.sa.encrypt(inner, seq_num=self.number, iv=self.number.to_bytes(8, "big"), esn_en=self.esn, esn=0)
        return raw(sealed[ESP])


def in_esp(packet, sealer, **outer):
    return built(link() / outer_ip(packet, 50, **outer) / Raw(sealer.esp(inner_of(packet))))


def all_kinds(sealer, backend=BACKENDS[0], source=None, ttl=64, **config):
    c = Case(esp_config(backend, **config))
    for packet in packets_of_all_kinds():
        c.expect(in_esp(c.receive(packet), sealer, dst=backend, src=source, ttl=ttl))
    return c


@case
def esp_to_an_ip4_backend():
    """4 in 4 and 6 in 4, AES-128."""
    return all_kinds(Sealer())


@case
def esp_to_an_ip6_backend():
    """4 in 6 and 6 in 6, AES-256 with extended numbers."""
    return all_kinds(Sealer(key=KEY256, esn=True), BACKEND6, key=KEY256, esn=True)


@case
def esp_from_an_address_of_its_own():
    return all_kinds(Sealer(), source="198.51.100.9", ttl=17,
                     forward="mode: esp, outer: { source: 198.51.100.9, ttl: 17 }")


@case
def esp_of_every_padding():
    """RFC 4303 section 2.4: 1, 2, 3, as far as it takes to end on a word."""
    c, sealer = Case(esp_config()), Sealer()
    for size in range(1, 9):
        c.expect(in_esp(c.receive(from_client(UDP(sport=5353, dport=53) / (b"x" * size))), sealer))
    return c


@case
def esp_of_padded_frames():
    c, sealer = Case(esp_config()), Sealer()
    query = from_client(UDP(sport=5353, dport=53) / b"q")
    c.receive(Ether(raw(query) + b"\xee" * (60 - len(raw(query)))))
    c.expect(in_esp(query, sealer))
    return c


@case
def esp_that_does_not_fit():
    """20 bytes of IP, 16 of ESP, 2 of trailer, 16 of check value, in whole words: 1,446 are left of 1,500."""
    c, sealer = Case(esp_config()), Sealer()
    ip4_up_to(c, lambda packet: in_esp(packet, sealer), 1446)
    ip6_up_to(c, lambda packet: in_esp(packet, sealer), 1446)
    return c


@case
def esp_in_fragments():
    """Each fragment is one packet of ESP, with a number of its own."""
    sealer = Sealer()
    return cut_for_a_tunnel(esp_config(), lambda packet, flow: in_esp(packet, sealer), 1446)


@case
def esp6_in_fragments():
    sealer = Sealer(key=KEY256, esn=True)
    return cut_for_a_tunnel(esp_config(BACKEND6, key=KEY256, esn=True),
                            lambda packet, flow: in_esp(packet, sealer, dst=BACKEND6, flow=flow), 1426)


@case
def esp_of_errors_in_fragments():
    sealer = Sealer()
    return large_errors(esp_config(), lambda packet, flow: in_esp(packet, sealer), 1446)


@case
def esp_with_a_ttl_used_up():
    return ttl_used_up_at(esp_config())


# ---- answers that come back through the tunnel ----

INBOUND = f"""      in:
        - {{ spi: 0x2001, key: 0x{KEY_IN.hex()}, esn: true }}
        - {{ spi: 0x2000, key: 0x{KEY_OLD.hex()} }}
"""


def answer(inner, tos=0, ttl=64, src=None, dst=None, v6=False):
    if v6:
        return built(IPv6(src=src or SERVICE6, dst=dst or CLIENT6, hlim=ttl, tc=tos) / inner)
    return built(IP(src=src or SERVICE, dst=dst or CLIENT, ttl=ttl, tos=tos) / inner)


def come_in(esp: bytes, tos=0, v6=False):
    outer = IPv6(src=BACKEND6, dst=OWN6, nh=50, tc=tos) if v6 else IP(src=BACKENDS[0], dst=OWN, proto=50, tos=tos)
    return built(Ether(src=B1, dst=EDGE) / outer / Raw(esp))


def go_on(inner):
    """One hop on, to the client."""
    return one_hop_on(Ether(src=EDGE, dst=GATEWAY) / inner)


@case
def esp_answers_through_the_tunnel():
    """By the new and by the old association; of both families, through either."""
    c = Case(esp_config(inbound=INBOUND))
    new, old = Sealer(0x2001, KEY_IN, esn=True), Sealer(0x2000, KEY_OLD)
    for sealer in (new, old):
        for inner in (answer(TCP(sport=80, dport=40000, flags="SA", seq=1, ack=1001)),
                      answer(TCP(sport=80, dport=40000, flags="PA", seq=2, ack=1001) / b"HTTP/1.0 200 OK\r\n\r\n", tos=0xB8),
                      answer(UDP(sport=53, dport=5353) / b"answer"),
                      answer(TCP(sport=80, dport=40001, flags="SA", seq=1, ack=1001), v6=True)):
            c.receive(come_in(sealer.esp(inner)))
            c.expect(go_on(inner))
    inner = answer(UDP(sport=53, dport=5353) / b"in IPv6")
    c.receive(come_in(new.esp(inner), v6=True))
    c.expect(go_on(inner))
    return c


@case
def esp_marks_of_congestion():
    """RFC 6040 section 4.2: what the way has marked is marked on; who knows no marks loses the packet."""
    c, sealer = Case(esp_config(inbound=INBOUND)), Sealer(0x2000, KEY_OLD)
    for inside, outside, after in ((0, 0, 0), (1, 0, 1), (2, 0, 2), (2, 2, 2), (1, 3, 3), (2, 3, 3), (3, 0, 3), (0, 1, 0),
                                   (0xB9, 3, 0xBB)):
        for v6 in (False, True):
            inner = answer(UDP(sport=53, dport=5353) / b"answer", tos=inside, v6=v6)
            c.receive(come_in(sealer.esp(inner), tos=outside))
            c.expect(go_on(answer(UDP(sport=53, dport=5353) / b"answer", tos=after, v6=v6)))
    c.receive(come_in(sealer.esp(answer(UDP(sport=53, dport=5353) / b"answer")), tos=3))
    c.drop("esp_inner")
    return c


@case
def esp_that_is_not_taken():
    c = Case(esp_config(inbound=INBOUND))
    sealer, stranger = Sealer(0x2000, KEY_OLD), Sealer(0x3000, KEY_OLD)
    good = answer(UDP(sport=53, dport=5353) / b"answer")

    first = sealer.esp(good)
    c.receive(come_in(first))
    c.expect(go_on(good))
    c.receive(come_in(first))
    c.drop("esp_replayed")

    changed = bytearray(sealer.esp(good))
    changed[20] ^= 1
    c.receive(come_in(bytes(changed)))
    c.drop("esp_forged")
    c.receive(come_in(sealer.esp(good, number=sealer.number)))  # what was forged has not used up its number
    c.expect(go_on(good))

    c.receive(come_in(stranger.esp(good)))
    c.drop("esp_unknown_spi")

    c.receive(come_in(first[:7]))
    c.receive(come_in(first[:32]))
    c.receive(come_in(first[:-1]))
    c.drop("esp_malformed", 3)

    c.receive(come_in(sealer.esp(answer(UDP(sport=53, dport=5353) / b"answer", ttl=1))))
    c.drop("ttl_expired")
    return c


@case
def esp_of_what_it_is_not_for():
    """RFC 4301 section 5.2: only answers of a service whose backend the sender is."""
    c = Case(esp_config(inbound=INBOUND))
    sealer = Sealer(0x2000, KEY_OLD)
    for inner in (answer(UDP(sport=53, dport=5353) / b"of another host", src="203.0.113.99"),
                  answer(UDP(sport=54, dport=5353) / b"of another port"),
                  answer(UDP(sport=53, dport=5353) / b"to us", dst=OWN),
                  answer(ICMP(type=8) / b"of no port"),
                  answer(Raw(b"cut"), src=SERVICE)):
        c.receive(come_in(sealer.esp(inner)))
        c.drop("esp_inner")
    return c


@case
def esp_without_an_inbound_association():
    """Where the way back is not through the tunnel, ESP is a protocol that nobody has asked for."""
    c = Case(esp_config())
    c.receive(come_in(Sealer(0x2000, KEY_OLD).esp(answer(UDP(sport=53, dport=5353) / b"answer"))))
    c.drop("protocol_unknown")
    return c


@case
def esp_passes_errors_about_answers():
    """The error quotes what the backend has sent past us: it goes to the backend sealed, as all of the flow does."""
    c, sealer = Case(esp_config()), Sealer()
    for packet in (from_client(TCP(sport=40000, dport=80, flags="S", seq=1)),
                   from_client(TCP(sport=40001, dport=80, flags="S", seq=1), dst=SERVICE6)):
        c.expect(in_esp(c.receive(packet), sealer))
    for client in (CLIENT, CLIENT6):
        c.expect(in_esp(c.receive(error_from_the_network(client)), sealer))
    return c


@case
def esp_of_errors_about_flows_of_another_machine():
    sealer = Sealer()
    return errors_without_an_entry(esp_config(), lambda packet, flow: in_esp(packet, sealer))
