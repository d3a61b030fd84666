#!/usr/bin/env python3
"""Runs every golden case through `sluice replay` and compares what comes out, byte for byte, with what must.

usage: run_golden.py [-v] [CASE...]      SLUICE_BUILD names the build folder (default: build)

A case is a folder: sluice.yaml, in_<interface>.pcap, expect_<interface>.pcap (or expect-<n>_<interface>.pcap: one of several
complete expectations must hold) and case.json: the drops by reason, the seed, the backends that are down, and whether sluice
chooses the identifiers of fragments (fresh_ids: those in an expectation say which fragments are of one packet). Files that the
configuration names are there too: CASE_FOLDER in it stands for the folder.
NAT ports are placeholders below 1024 (make_cases.py): a first run shows which ones sluice chose, they are put into inputs
and expectations, and a second run is compared.
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from scapy.all import (ICMP, IP, SCTP, TCP, UDP, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6ExtHdrFragment, hexdump, raw, rdpcap,
                       wrpcap)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PLACEHOLDERS = range(1, 22)        # no case uses these as real ports
ECHO_PLACEHOLDERS = range(65001, 65022)  # nor these as real identifiers of an echo
NAT_PORTS = range(1024, 65536)     # what sluice may choose from
STAMP_TOLERANCE = 0.02             # seconds: timers are looked at every 10 ms


class Mismatch(Exception):
    pass


def sluice() -> pathlib.Path:
    return ROOT / os.environ.get("SLUICE_BUILD", "build") / "sluice"


def interfaces_of(folder: pathlib.Path) -> list[str]:
    return sorted(path.stem.removeprefix("in_") for path in folder.glob("in_*.pcap"))


def read(path: pathlib.Path) -> list:
    return list(rdpcap(str(path))) if path.stat().st_size > 24 else []


def replay(folder: pathlib.Path, inputs: dict, facts: dict, scratch: pathlib.Path) -> tuple[dict, dict]:
    config = scratch / "sluice.yaml"
    config.write_text((folder / "sluice.yaml").read_text().replace("CASE_FOLDER", str(folder)))
    command = [sluice(), "replay", config, "--seed", str(facts["seed"])]
    for backend in facts["down"]:
        command += ["--down", backend]
    for name, packets in inputs.items():
        wrpcap(str(scratch / f"in_{name}.pcap"), packets, linktype=1, nano=True)
        command += ["--in", f"{name}={scratch}/in_{name}.pcap", "--out", f"{name}={scratch}/out_{name}.pcap"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Mismatch(f"sluice replay ended with {done.returncode}\n{done.stdout}{done.stderr}")
    drops = {line.split()[0].removeprefix("drop."): int(line.split()[1])
             for line in done.stdout.splitlines() if line.startswith("drop.")}
    return {name: read(scratch / f"out_{name}.pcap") for name in inputs}, drops


ECHOES = (ICMPv6EchoRequest, ICMPv6EchoReply)


def l4_of(packet):
    if quote_in(raw(packet)) is not None:  # what scapy shows there is the quoted packet's
        return None
    for layer in (TCP, UDP, SCTP, *ECHOES):
        if packet.haslayer(layer):
            return packet[layer]
    if packet.haslayer(ICMP) and packet[ICMP].type in (0, 8):
        return packet[ICMP]
    return None


def name_of(l4, field: str) -> str:
    """An echo has an identifier where others have ports."""
    return "id" if isinstance(l4, (ICMP, *ECHOES)) else field


def checksum_name(l4) -> str:
    return "cksum" if isinstance(l4, ECHOES) else "chksum"


def correct_sctp(packet) -> int:
    packet = packet.copy()
    del packet[SCTP].chksum
    return packet.__class__(raw(packet))[SCTP].chksum


def updated(checksum: int, old: int, new: int) -> int:
    """RFC 1624 equation 3, so that a checksum that is wrong on purpose stays so."""
    total = (~checksum & 0xFFFF) + (~old & 0xFFFF) + new
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def has_checksum_as_id(packet) -> bool:
    """An IPv4 packet that sluice made of an IPv6 one: its identifier is its layer 4 checksum, and follows it."""
    return packet.haslayer(IP) and isinstance(l4_of(packet), (TCP, UDP)) and packet[IP].id == l4_of(packet).chksum != 0


def with_port(packet, field: str, port: int):
    out = packet.copy()
    l4 = l4_of(out)
    field, checksum = name_of(l4, field), checksum_name(l4)
    if isinstance(l4, SCTP):  # a CRC: what is wrong with it stays, and the rest is made anew
        wrong = l4.chksum ^ correct_sctp(out)
        setattr(l4, field, port)
        l4.chksum = correct_sctp(out) ^ wrong
        return out
    follows = has_checksum_as_id(out)
    if not (isinstance(l4, UDP) and l4.chksum == 0):
        before = getattr(l4, checksum)
        setattr(l4, checksum, updated(before, getattr(l4, field), port) or (0xFFFF if isinstance(l4, UDP) else 0))
    setattr(l4, field, port)
    if follows:
        out[IP].chksum = updated(out[IP].chksum, out[IP].id, l4.chksum)
        out[IP].id = l4.chksum
    return out


def quote_in(data: bytes) -> tuple[int, tuple[int, ...], int] | None:
    """Of an ICMP error without options or extension headers of its own: where its header begins, where the quoted packet's
    ports or identifier, and where that packet's checksum of layer 4. (SCTP is quoted without its own.)"""
    if len(data) < 70:  # the least that an error has
        return None
    if data[12:14] == b"\x08\x00" and data[23] == 1 and data[34] in (3, 11, 12):
        icmp, protocol, ports = 34, data[51], 42 + (data[42] & 15) * 4
    elif data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] in (1, 2, 3, 4):
        icmp, protocol, ports = 54, data[68], 102
        while protocol in (0, 43, 60):
            protocol, ports = data[ports], ports + (data[ports + 1] + 1) * 8
    else:
        return None
    if protocol in (1, 58):
        return icmp, (ports + 4,), ports + 2
    checksums = {6: 16, 17: 6, 132: len(data)}
    return (icmp, (ports, ports + 2), ports + checksums[protocol]) if protocol in checksums else None


def with_quoted_ports(packet, ports: dict[int, int]):
    """The same packet, or one in which the quoted packet has real ports, and the checksums follow (RFC 1624)."""
    data = bytearray(raw(packet))
    quote = quote_in(data)
    if quote is None:
        return packet
    icmp, places, checksum = quote
    follows = icmp == 34 and data[18:20] == data[icmp + 2:icmp + 4]

    def replace(at: int, new: int):
        old = int.from_bytes(data[at:at + 2], "big")
        data[at:at + 2] = new.to_bytes(2, "big")
        data[icmp + 2:icmp + 4] = updated(int.from_bytes(data[icmp + 2:icmp + 4], "big"), old, new).to_bytes(2, "big")
        return old

    for at in places:
        port = int.from_bytes(data[at:at + 2], "big")
        if port in ports and port in (PLACEHOLDERS if len(places) == 2 else ECHO_PLACEHOLDERS):
            replace(at, ports[port])
            if checksum + 2 <= len(data):
                replace(checksum, updated(int.from_bytes(data[checksum:checksum + 2], "big"), port, ports[port]))
    if follows:
        data[24:26] = updated(*(int.from_bytes(data[at:at + 2], "big") for at in (24, 18, icmp + 2))).to_bytes(2, "big")
        data[18:20] = data[icmp + 2:icmp + 4]
    out = packet.__class__(bytes(data))
    out.time = packet.time
    return out


def placeholder_in(packet, field: str) -> int | None:
    l4 = l4_of(packet)
    if l4 is None:
        return None
    port = getattr(l4, name_of(l4, field))
    return port if port in (ECHO_PLACEHOLDERS if name_of(l4, field) == "id" else PLACEHOLDERS) else None


def shape(packet) -> bytes:
    """The packet without source port and checksum: what is known of it before the port is."""
    out = packet.copy()
    l4 = l4_of(out)
    if has_checksum_as_id(packet):
        out[IP].id = out[IP].chksum = 0
    elif identifier_of(packet) is not None:
        identifier_of(out).id = 0
        if out.haslayer(IP):
            out[IP].chksum = 0
    setattr(l4, name_of(l4, "sport"), 0)
    setattr(l4, checksum_name(l4), 0)
    return raw(out)


def learn_ports(expected: dict, actual: dict) -> dict[int, int]:
    """Which port stands behind each placeholder: that of the first packet that is as expected but for it."""
    learnt: dict[int, int] = {}
    for name, packets in expected.items():
        candidates = [packet for packet in actual[name] if l4_of(packet) is not None]
        shapes = [shape(packet) for packet in candidates]
        for packet in packets:
            placeholder = placeholder_in(packet, "sport")
            if placeholder is None or placeholder in learnt:
                continue
            wanted = shape(packet)
            for at, candidate in enumerate(candidates):
                if shapes[at] == wanted:
                    port = getattr(l4_of(candidate), name_of(l4_of(candidate), "sport"))
                    if port not in NAT_PORTS:
                        raise Mismatch(f"NAT port {port} is outside {NAT_PORTS}")
                    learnt[placeholder] = port
                    break
    return learnt


def with_port_in_id(packet, ports: dict[int, int]):
    """The identifier of IPv6 fragments that sluice made of an IPv4 packet begins with the NAT port."""
    if not packet.haslayer(IPv6ExtHdrFragment) or packet[IPv6ExtHdrFragment].id >> 16 not in ports:
        return packet
    out = packet.copy()
    ident = out[IPv6ExtHdrFragment].id
    out[IPv6ExtHdrFragment].id = ports[ident >> 16] << 16 | ident & 0xFFFF
    return out


def substituted(packets: list, ports: dict[int, int]) -> list:
    out = []
    for packet in packets:
        for field in ("sport", "dport"):
            placeholder = placeholder_in(packet, field)
            if placeholder in ports:
                stamp = packet.time
                packet = with_port(packet, field, ports[placeholder])
                packet.time = stamp
        out.append(with_port_in_id(with_quoted_ports(packet, ports), ports))
    return out


def identifier_of(packet):
    """Where a fragment has its identifier: the layer, else None."""
    if packet.haslayer(IPv6ExtHdrFragment):
        return packet[IPv6ExtHdrFragment]
    return packet[IP] if packet.haslayer(IP) and (packet[IP].frag or packet[IP].flags.MF) else None


def with_fresh_ids(expected: list, actual: list) -> list:
    """What is expected with the identifiers that sluice chose: one for all fragments that have one in `expected`, and no
    two packets have the same."""
    chosen, out = {}, []
    for want, got in zip(expected, actual):
        if identifier_of(want) is not None and identifier_of(got) is not None:
            stamp, want = want.time, want.copy()
            layer = identifier_of(want)
            before = layer.id
            layer.id = chosen.setdefault((want.type, before), identifier_of(got).id)
            if want.haslayer(IP):
                layer.chksum = updated(layer.chksum, before, layer.id)
            want.time = stamp
        out.append(want)
    if len({(family, ident) for (family, _), ident in chosen.items()}) != len(chosen):
        raise Mismatch(f"two packets have one identifier: {chosen}")
    return out + expected[len(actual):]


def describe(packet) -> str:
    return f"{float(packet.time) % 1e6:.6f}  {packet.summary()}"


def compare(name: str, expected: list, actual: list) -> None:
    for number, (want, got) in enumerate(zip(expected, actual), start=1):
        if raw(want) != raw(got):
            raise Mismatch(f"{name}: packet {number} differs\n  expected {describe(want)}\n  got      {describe(got)}\n"
                           f"expected:\n{want.show(dump=True)}{hexdump(want, dump=True)}\n"
                           f"got:\n{got.show(dump=True)}{hexdump(got, dump=True)}")
        if abs(float(want.time) - float(got.time)) > STAMP_TOLERANCE:
            raise Mismatch(f"{name}: packet {number} left at the wrong time\n  expected {describe(want)}\n  got      {describe(got)}")
    if len(expected) != len(actual):
        rest = [f"  missing  {describe(packet)}" for packet in expected[len(actual):]]
        rest += [f"  surplus  {describe(packet)}" for packet in actual[len(expected):]]
        raise Mismatch(f"{name}: {len(expected)} packets expected, {len(actual)} got\n" + "\n".join(rest))


def expectations(folder: pathlib.Path, names: list[str]) -> list[dict]:
    if (folder / f"expect_{names[0]}.pcap").exists():
        return [{name: read(folder / f"expect_{name}.pcap") for name in names}]
    count = len(list(folder.glob(f"expect-*_{names[0]}.pcap")))
    return [{name: read(folder / f"expect-{number}_{name}.pcap") for name in names} for number in range(count)]


def check(folder: pathlib.Path) -> None:
    facts = json.loads((folder / "case.json").read_text())
    names = interfaces_of(folder)
    inputs = {name: read(folder / f"in_{name}.pcap") for name in names}
    failures = []
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = pathlib.Path(scratch_name)
        first = None
        for expected in expectations(folder, names):
            ports = {}
            if any(placeholder_in(packet, "sport") for packets in expected.values() for packet in packets):
                first = first or replay(folder, inputs, facts, scratch)[0]
                ports = learn_ports(expected, first)
            if len(set(ports.values())) != len(ports):
                raise Mismatch(f"two flows have one NAT port: {ports}")
            actual, drops = replay(folder, {name: substituted(packets, ports) for name, packets in inputs.items()}, facts,
                                   scratch)
            try:
                for name in names:
                    wanted = substituted(expected[name], ports)
                    compare(name, with_fresh_ids(wanted, actual[name]) if facts.get("fresh_ids") else wanted, actual[name])
                if drops != facts["drops"]:
                    raise Mismatch(f"drops differ\n  expected {facts['drops']}\n  got      {drops}")
                return
            except Mismatch as mismatch:
                failures.append(str(mismatch))
    raise Mismatch("\n-- or --\n".join(failures))


def failure_of(folder: pathlib.Path) -> str | None:
    try:
        check(folder)
    except (Mismatch, subprocess.TimeoutExpired) as error:
        return str(error)
    return None


def main() -> int:
    arguments = [argument for argument in sys.argv[1:] if argument != "-v"]
    verbose = "-v" in sys.argv
    folders = [HERE / name for name in arguments] or sorted(path.parent for path in HERE.glob("*/case.json"))
    if not sluice().exists():
        print(f"{sluice()} is not there: run tools/build first")
        print("0 passed, 1 failed")
        return 1
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for folder, failure in zip(folders, pool.map(failure_of, folders)):
            if failure is not None:
                failed += 1
                print(f"FAILED  {folder.name}\n{failure}\n")
            elif verbose:
                print(f"ok      {folder.name}")
    print(f"{len(folders) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
