"""Puts hosts on VLANs, for kernels without VLANs of their own: what comes from a host's link leaves by the trunk with its tags, and what
has just those tags on the trunk goes to the host without them. Usage: tagger.py LINK:TRUNK:ID or LINK:TRUNK:OUTER:INNER, ..."""
import contextlib
import selectors
import socket
import struct
import sys

SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23  # of linux/if_packet.h
VLAN_VALID, TPID_VALID = 0x10, 0x40
DOT1Q, DOT1AD = 0x8100, 0x88A8


def open_link(name: str) -> socket.socket:
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    link.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    link.bind((name, 0x0003))
    link.setblocking(False)
    return link


def receive(link: socket.socket) -> bytes:
    """A frame as it stood on the wire: the kernel has put its outermost tag aside."""
    frame, extra, _, _ = link.recvmsg(65536, 64)
    for _, _, data in extra:
        status, _, _, _, _, tci, kind = struct.unpack("=IIIHHHH", data[:20])
        if status & VLAN_VALID:
            frame = frame[:12] + struct.pack("!HH", kind if status & TPID_VALID else DOT1Q, tci) + frame[12:]
    return frame


def ids_of(frame: bytes) -> tuple[int, ...]:
    ids, at = (), 12
    while int.from_bytes(frame[at:at + 2], "big") in (DOT1Q, DOT1AD):
        ids += (int.from_bytes(frame[at + 2:at + 4], "big") & 0xFFF,)
        at += 4
    return ids


def tags_of(ids: tuple[int, ...]) -> bytes:
    kinds = (DOT1Q,) if len(ids) == 1 else (DOT1AD, DOT1Q)
    return b"".join(struct.pack("!HH", kind, number) for kind, number in zip(kinds, ids))


def main():
    links, hosts, trunks = {}, {}, {}
    for argument in sys.argv[1:]:
        host, trunk, *ids = argument.split(":")
        ids = tuple(map(int, ids))
        for name in (host, trunk):
            if name not in links:
                links[name] = open_link(name)
        hosts[links[host]] = (links[trunk], tags_of(ids))
        trunks.setdefault(links[trunk], {}).setdefault(ids, []).append(links[host])
    selector = selectors.DefaultSelector()
    for link in links.values():
        selector.register(link, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            with contextlib.suppress(BlockingIOError, OSError):
                frame = receive(key.fileobj)
                if key.fileobj in hosts:
                    trunk, tags = hosts[key.fileobj]
                    trunk.send(frame[:12] + tags + frame[12:])
                else:
                    ids = ids_of(frame)
                    for host in trunks[key.fileobj].get(ids, ()):
                        host.send(frame[:12] + frame[12 + 4 * len(ids):])


main()
