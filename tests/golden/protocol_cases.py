"""Golden cases of what is neither TCP nor UDP to one address and port: SCTP."""

from scapy.all import (IP, SCTP, Ether, IPv6, SCTPChunkAbort, SCTPChunkCookieAck, SCTPChunkCookieEcho, SCTPChunkData,
                       SCTPChunkInit, SCTPChunkInitAck, SCTPChunkSACK, SCTPChunkShutdown, SCTPChunkShutdownAck,
                       SCTPChunkShutdownComplete, raw)

from packets import (BACKEND6, BACKENDS, CLIENT, CLIENT6, Case, NAT, ONE_ARM, ONE_ARM_NEIGHBORS, OWN, OWN6, SERVICE,
                     SERVICE6, built, forwarded, from_backend, from_client, returned)

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


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
