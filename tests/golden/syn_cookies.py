"""The SYN cookies that sluice makes with the seed of a replay, computed from their description (net/syn_cookie.h) once more."""

import ipaddress

MASK = 2**64 - 1
SIZES = (536, 1220, 1340, 1380, 1420, 1440, 1460, 8940)
EPOCH_MS = 2**16


def siphash(key: tuple[int, int], words: list[int], rounds: int, last_rounds: int) -> int:
    """Aumasson and Bernstein (2012), over words of which the last one has the length in its upper byte."""
    v = [key[0] ^ 0x736F6D6570736575, key[1] ^ 0x646F72616E646F6D, key[0] ^ 0x6C7967656E657261, key[1] ^ 0x7465646279746573]

    def rotated(value, bits):
        return (value << bits | value >> (64 - bits)) & MASK

    def turn(times):
        for _ in range(times):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotated(v[1], 13) ^ v[0]
            v[0] = rotated(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotated(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotated(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotated(v[1], 17) ^ v[2]
            v[2] = rotated(v[2], 32)

    for word in words:
        v[3] ^= word
        turn(rounds)
        v[0] ^= word
    v[2] ^= 0xFF
    turn(last_rounds)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def mixed(a: int, b: int) -> int:
    product = a * b
    return (product & MASK) ^ product >> 64


class Cookies:
    """Those of the first worker."""

    def __init__(self, seed: int):
        main = (seed, ~seed & MASK)
        self.secret = tuple(siphash(main, [int.from_bytes(b"sc\0" + bytes([half]) + b"\0\0\0\4", "little")], 2, 4)
                            for half in range(2))
        self.clock_offset = siphash((self.secret[0] ^ 0x636C6F636B, self.secret[1]), [0], 2, 4) & 0xFFFFFFFF

    def make(self, client: str, service: str, client_port: int, service_port: int, sequence: int, mss: int, now_ms: int) -> int:
        epoch = now_ms % 2**32 // EPOCH_MS
        key = tuple(siphash(self.secret, [epoch, half | 9 << 56], 2, 4) for half in range(2))
        addresses = ipaddress.ip_address(client).packed + ipaddress.ip_address(service).packed
        words = [int.from_bytes(addresses[at:at + 8], "little") for at in range(0, len(addresses), 8)]
        words += [sequence | client_port << 32 | service_port << 48, len(addresses) + 12 << 56]
        found = siphash(key, words, 1, 3)
        size = sum(mss >= least for least in SIZES[1:])
        upper = mixed(found ^ (size * 0x9E3779B97F4A7C15 & MASK), 0xD6E8FEB86659FD93) & 0xFFFFFFFF
        return upper & ~7 | (found ^ size) & 7

    def timestamp(self, now_ms: int, window_scale: int, sack: bool) -> int:
        """The clock, not ahead of itself, its lower 6 bits the client's window scale (15: none) and SACK."""
        clock = (now_ms + self.clock_offset) & 0xFFFFFFFF
        bits = window_scale | (0x10 if sack else 0)
        stamp = clock & ~0x3F | bits
        return (stamp - (0x40 if stamp > clock else 0)) & 0xFFFFFFFF
