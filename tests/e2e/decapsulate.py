"""The backend's end of a tunnel: takes the outer headers off, and gives what is inside to the kernel by a TUN interface.

usage: decapsulate.py MODE INTERFACE        MODE: ipip, gre, gue, gue0 (with its header); of IPv4 and IPv6 tunnels alike
"""
import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
UDP_NO_CHECK6_RX = 102  # RFC 6935: take datagrams without a checksum
GUE_PORT = 6080
IPIP, GRE, IPV6 = 4, 47, 41


def open_tun(name: str) -> int:
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def receive(sock: socket.socket) -> bytes:
    """What follows the outer IP header."""
    data = sock.recv(65536)
    if sock.type == socket.SOCK_RAW and sock.family == socket.AF_INET:  # with its IP header
        return data[(data[0] & 15) * 4:]
    return data


def raw(family: int, protocol: int) -> socket.socket:
    return socket.socket(family, socket.SOCK_RAW, protocol)


def datagrams() -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.IPPROTO_UDP, UDP_NO_CHECK6_RX, 1)
    sock.bind(("::", GUE_PORT))
    return sock


def sockets_of(mode: str) -> list[tuple[socket.socket, int]]:
    """Each with the number of bytes in front of the packet, behind the outer IP header."""
    if mode.startswith("gue"):
        return [(datagrams(), 4 if mode == "gue0" else 0)]
    protocols = {"ipip": (IPIP, IPV6), "gre": (GRE,)}[mode]
    return [(raw(family, protocol), 4 if mode == "gre" else 0) for family in (socket.AF_INET, socket.AF_INET6)
            for protocol in protocols]


def main() -> None:
    mode, name = sys.argv[1:]
    tun = open_tun(name)
    by_socket = dict(sockets_of(mode))
    print("ready", flush=True)
    while True:
        for sock in select.select(list(by_socket), [], [])[0]:
            try:
                os.write(tun, receive(sock)[by_socket[sock]:])
            except OSError:  # the interface is down still
                pass


if __name__ == "__main__":
    main()
