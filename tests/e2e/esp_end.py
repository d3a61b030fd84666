"""The backend's end of tunnels of mode esp: ESP by the book, over Python's AES-GCM, between sluice and a TUN interface.

usage: esp_end.py INTERFACE PARAMETERS      a JSON object:
  here, sluice   the tunnel's ends
  in             what sluice may seal by: objects with spi, key (hex, with its salt) and esn
  out            what is sealed by here, where answers come back through the tunnel; the first one at the beginning
  services       what sources answers have; all else that the interface sends is dropped

One command a line on standard input, one line of JSON back:
  stats          what has come in and gone out so far
  send SPI       from now on by this association of `out`
  replay N       sends the last packet again, N times
  forge N        the same with another number and a bit turned in what is encrypted
"""
import collections
import ipaddress
import json
import os
import select
import socket
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from decapsulate import open_tun, raw, receive

ESP, IPIP, IPV6 = 50, 4, 41
WINDOW = 1024  # what receivers usually have


class Association:
    def __init__(self, spi: int, key: str, esn: bool):
        material = bytes.fromhex(key.removeprefix("0x"))
        self.spi, self.esn, self.number = spi, esn, 0
        self.cipher, self.salt = AESGCM(material[:-4]), material[-4:]
        self.key = key

    def checked(self, number: int) -> bytes:
        """RFC 4106 section 5: what is authenticated and not encrypted."""
        return struct.pack("!IQ" if self.esn else "!II", self.spi, number)

    def seal(self, inner: bytes) -> bytes:
        self.number += 1
        padding = -(len(inner) + 2) % 4
        text = inner + bytes(range(1, padding + 1)) + bytes((padding, IPIP if inner[0] >> 4 == 4 else IPV6))
        iv = struct.pack("!Q", self.number)
        return struct.pack("!II", self.spi, self.number) + iv + self.cipher.encrypt(self.salt + iv, text, self.checked(self.number))

    def open(self, packet: bytes) -> bytes:
        """The inner packet. InvalidTag, ValueError: it is not as it should be."""
        number = struct.unpack_from("!I", packet, 4)[0]
        text = self.cipher.decrypt(self.salt + packet[8:16], packet[16:], self.checked(number))
        padding, next_header = text[-2], text[-1]
        inner = text[:-2 - padding]
        if text[len(inner):-2] != bytes(range(1, padding + 1)) or next_header != (IPIP if inner[0] >> 4 == 4 else IPV6):
            raise ValueError("padding or next header")
        return inner


class End:
    def __init__(self, tun: int, parameters: dict):
        self.tun = tun
        self.sluice = parameters["sluice"]
        self.inbound = {one["spi"]: Association(**one) for one in parameters["in"]}
        self.outbound = {one["spi"]: Association(**one) for one in parameters["out"]}
        self.sends_by = next(iter(self.outbound.values()), None)
        self.services = {ipaddress.ip_address(service).packed for service in parameters["services"]}
        self.sock = raw(socket.AF_INET6 if ":" in parameters["here"] else socket.AF_INET, ESP)
        self.sock.bind((parameters["here"], 0))
        self.last = b""
        self.ivs: dict[str, set[bytes]] = collections.defaultdict(set)  # by key
        self.numbers: dict[int, int] = collections.defaultdict(int)     # the highest one of each SPI
        self.stats = {"opened": collections.Counter(), "sealed": collections.Counter(), "wrong": 0, "iv_twice": 0, "late": 0}

    def take(self):
        packet = receive(self.sock)
        spi, number = struct.unpack_from("!II", packet)
        association = self.inbound.get(spi)
        try:
            inner = association.open(packet) if association else None
        except (InvalidTag, ValueError):
            inner = None
        if inner is None:
            self.stats["wrong"] += 1
            return
        self.stats["opened"][spi] += 1
        self.stats["iv_twice"] += packet[8:16] in self.ivs[association.key]
        self.ivs[association.key].add(packet[8:16])
        # The kernel may deliver different flow labels by different CPUs, so not all in order: a window must take them.
        self.stats["late"] += number + WINDOW <= self.numbers[spi]
        self.numbers[spi] = max(self.numbers[spi], number)
        try:
            os.write(self.tun, inner)
        except OSError:  # the interface is down still
            pass

    def answer(self):
        inner = os.read(self.tun, 65536)
        source = inner[12:16] if inner[0] >> 4 == 4 else inner[8:24]
        if self.sends_by is None or source not in self.services:
            return
        self.last = self.sends_by.seal(inner)
        self.stats["sealed"][self.sends_by.spi] += 1
        self.sock.sendto(self.last, (self.sluice, 0))

    def obey(self, command: str):
        word, *rest = command.split()
        number = int(rest[0]) if rest else 0
        if word == "send":
            self.sends_by = self.outbound[number]
        elif word == "replay":
            for _ in range(number):
                self.sock.sendto(self.last, (self.sluice, 0))
        elif word == "forge":
            for _ in range(number):
                packet = bytearray(self.last)
                struct.pack_into("!I", packet, 4, self.sends_by.number + 1)
                packet[20] ^= 1
                self.sock.sendto(packet, (self.sluice, 0))
        print(json.dumps(self.stats), flush=True)


def main() -> None:
    name, parameters = sys.argv[1:]
    tun = open_tun(name)
    end = End(tun, json.loads(parameters))
    print("ready", flush=True)
    while True:
        for ready in select.select([end.sock, tun, sys.stdin], [], [])[0]:
            if ready is end.sock:
                end.take()
            elif ready == tun:
                end.answer()
            else:
                command = sys.stdin.readline()
                if not command:
                    return
                end.obey(command)


if __name__ == "__main__":
    main()
