"""The whole binary on capture files (net_pcap): what the packets that go in bring out, compared byte for byte."""
import subprocess

import pytest
from scapy.all import ARP, ICMP, IP, TCP, UDP, Ether, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, Padding, Raw, raw, rdpcap, wrpcap

from sluicelab.sluice import build_folder

OURS = "02:70:63:61:70:00"  # what net_pcap calls its first interface
GATEWAY, BACKEND = "02:00:00:00:00:01", "02:00:00:00:00:11"
CLIENT, OWN, SERVICE, EMPTY, SERVER = "203.0.113.7", "198.51.100.2", "198.51.100.80", "198.51.100.81", "198.51.100.11"
CLIENT6, OWN6 = "2001:db8:9::7", "2001:db8::2"

CONFIG = """
runtime: {{ workers: [0], hugepages: off, memory: 256MiB, drain: 0s, stop_when_idle: 1s, flows: 4096 }}
interfaces:
  edge:
    device: "net_pcap0,rx_pcap={folder}/in.pcap,tx_pcap={folder}/out.pcap"
    addresses: [{own}/24, "{own6}/64"]
    gateway: [198.51.100.1, "2001:db8::1"]
    tx_queues: 1
    announce: false
neighbors:
  - {{ interface: edge, address: 198.51.100.1, mac: "{gateway}" }}
  - {{ interface: edge, address: "2001:db8::1", mac: "{gateway}" }}
  - {{ interface: edge, address: {server}, mac: "{backend}" }}
pools:
  web: {{ backends: [ {{ name: web1, address: {server}, port: 8080 }} ] }}
  none: {{ backends: [ {{ name: nobody, address: 198.51.100.99, port: 8080 }} ], health: {{ tcp: {{}} }} }}
services:
  web: {{ listen: ["{service}:80/tcp", "{service}:53/udp"], forward: {{ mode: nat, pool: web }} }}
  empty: {{ listen: ["{empty}:80/tcp"], forward: {{ mode: nat, pool: none }} }}
admin: {{ socket: "{folder}/admin.sock" }}
"""


def to_us():
    return Ether(src=GATEWAY, dst=OURS)


def back():
    return Ether(src=OURS, dst=GATEWAY)


SYN_OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (7, 0)), ("NOP", None), ("WScale", 7)]

# name, what comes in, what must come out ({port}: the NAT port that sluice chose, taken from the answer itself)
CASES = {
    "arp": (Ether(src=GATEWAY, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=GATEWAY, psrc="198.51.100.1", pdst=OWN),
            lambda port: back() / ARP(op=2, hwsrc=OURS, psrc=OWN, hwdst=GATEWAY, pdst="198.51.100.1")),
    "ping": (to_us() / IP(src=CLIENT, dst=OWN, id=77) / ICMP(type=8, id=5, seq=6) / Raw(b"abcdefgh"),
             lambda port: back() / IP(src=OWN, dst=CLIENT, id=77) / ICMP(type=0, id=5, seq=6) / Raw(b"abcdefgh")),
    "ping6": (to_us() / IPv6(src=CLIENT6, dst=OWN6) / ICMPv6EchoRequest(id=5, seq=6, data=b"abcdefgh"),
              lambda port: back() / IPv6(src=OWN6, dst=CLIENT6) / ICMPv6EchoReply(id=5, seq=6, data=b"abcdefgh")),
    "tcp": (to_us() / IP(src=CLIENT, dst=SERVICE, id=9, flags="DF", ttl=60)
            / TCP(sport=40000, dport=80, flags="S", seq=1000, window=64240, options=SYN_OPTIONS),
            lambda port: Ether(src=OURS, dst=BACKEND) / IP(src=OWN, dst=SERVER, id=9, flags="DF", ttl=59)
            / TCP(sport=port, dport=8080, flags="S", seq=1000, window=64240, options=SYN_OPTIONS)),
    "udp": (to_us() / IP(src=CLIENT, dst=SERVICE, id=9, ttl=60) / UDP(sport=40000, dport=53) / Raw(b"question"),
            lambda port: Ether(src=OURS, dst=BACKEND) / IP(src=OWN, dst=SERVER, id=9, ttl=59)
            / UDP(sport=port, dport=8080) / Raw(b"question")),
    "segment_of_an_unknown_flow": (to_us() / IP(src=CLIENT, dst=SERVICE) / TCP(sport=40001, dport=80, flags="A", seq=5, ack=6),
                                   lambda port: back() / IP(src=SERVICE, dst=CLIENT, id=0, flags="DF")
                                   / TCP(sport=80, dport=40001, flags="R", seq=6, window=0)),
    "no_backend": (to_us() / IP(src=CLIENT, dst=EMPTY) / TCP(sport=40002, dport=80, flags="S", seq=5),
                   lambda port: back() / IP(src=EMPTY, dst=CLIENT, id=0, flags="DF")
                   / TCP(sport=80, dport=40002, flags="RA", seq=0, ack=6, window=0)),
}


def same_fields(packet):
    """Without Ethernet's padding, which a driver may add or leave."""
    packet = packet.copy()
    if Padding in packet:
        packet[Padding].underlayer.remove_payload()
    return raw(packet)


@pytest.mark.parametrize("name", CASES)
def test_packets_in_packets_out(tmp_path, name):
    sent, expected = CASES[name]
    wrpcap(str(tmp_path / "in.pcap"), [Ether(raw(sent))])
    file = tmp_path / "sluice.yaml"
    file.write_text(CONFIG.format(folder=tmp_path, own=OWN, own6=OWN6, gateway=GATEWAY, backend=BACKEND, server=SERVER,
                                  service=SERVICE, empty=EMPTY))
    done = subprocess.run([build_folder() / "sluice", "run", file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    # Health checks of the pool without a backend ask for its neighbour: not what is compared here.
    out = [packet for packet in rdpcap(str(tmp_path / "out.pcap"))
           if not (ARP in packet and packet[ARP].op == 1)]
    assert len(out) == 1, done.stderr
    port = out[0].sport if name in ("tcp", "udp") else None
    want = Ether(raw(expected(port)))
    assert same_fields(out[0]) == same_fields(want), f"{out[0].show(dump=True)}\nwanted\n{want.show(dump=True)}"
