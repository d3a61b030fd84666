"""The key l4.worker_loop.vs_testpmd of tools/bench l4: packets a second of the whole program over those of dpdk-testpmd.

Both read the same file for ever (net_pcap,infinite_rx=1), on one CPU, and send into nothing. testpmd swaps the MAC addresses of each
packet; sluice forwards it to its backend as a packet of one of many flows of a `dsr` service, which need no handshake. A packet is
allocated and copied by the driver on both sides. What counts is packets over the CPU time of the thread that moves them, so that a
busy machine takes nothing away; the two take turns, and the best of each counts.
"""
import argparse
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOWS = 4096
PACKET_BYTES = 60
OWN_MAC = bytes.fromhex("027063617000")  # what net_pcap gives its first port
GATEWAY_MAC = bytes.fromhex("02000000ff01")

CONFIG = """
runtime: {{ main: {main}, workers: [{cpu}], memory: 256MiB, hugepages: off, flows: 65536, mbufs: 16384 }}
admin: {{ socket: {socket} }}
interfaces:
  edge: {{ device: "{device}", addresses: 198.51.100.2/24, gateway: 198.51.100.1, announce: false }}
neighbors:
  - {{ interface: edge, address: 198.51.100.1, mac: "02:00:00:00:ff:01" }}
{neighbors}
pools:
  web: {{ backends: [ {backends} ] }}
services:
  web: {{ listen: "203.0.113.10:80/tcp", forward: {{ mode: dsr, pool: web }} }}
"""


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def acknowledgment(client: bytes, port: int) -> bytes:
    service = bytes([203, 0, 113, 10])
    tcp = struct.pack(">HHIIBBHHH", port, 80, 1000, 2000, 5 << 4, 0x10, 65535, 0, 0)
    tcp = tcp[:16] + struct.pack(">H", checksum(client + service + struct.pack(">HH", 6, len(tcp)) + tcp)) + tcp[18:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + client + service
    ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
    return (OWN_MAC + GATEWAY_MAC + b"\x08\x00" + ip + tcp).ljust(PACKET_BYTES, b"\0")


def write_capture(path: Path):
    rng = random.Random(1)
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for _ in range(FLOWS):
            frame = acknowledgment(bytes([100, 64 + rng.randrange(64), rng.randrange(256), rng.randrange(256)]), rng.randrange(1024, 65536))
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


def busiest_cpu_seconds(pid: int) -> float:
    """Of the thread that has run most: it polls, the others sleep."""
    runs = [int((thread / "schedstat").read_text().split()[0]) for thread in Path(f"/proc/{pid}/task").iterdir()]
    return max(runs) / 1e9


def end(process: subprocess.Popen):
    process.send_signal(signal.SIGINT)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def mpps(pid: int, packets, seconds: float) -> float:
    before, cpu_before = packets(), busiest_cpu_seconds(pid)
    time.sleep(seconds)
    after, cpu_after = packets(), busiest_cpu_seconds(pid)
    return (after - before) / (cpu_after - cpu_before) / 1e6


def wait_for(moving, process: subprocess.Popen, log: Path):
    for _ in range(200):
        if process.poll() is None and moving():
            return
        time.sleep(0.1)
    sys.exit(f"{process.args[0]} forwards nothing:\n{log.read_text()[-3000:]}")


def measure_sluice(build: Path, folder: Path, device: str, cpus: list[int], seconds: float) -> float:
    socket, log = folder / "admin.sock", folder / "sluice.log"
    backends = [f"198.51.100.{11 + i}" for i in range(8)]
    (folder / "sluice.yaml").write_text(CONFIG.format(
        main=cpus[0], cpu=cpus[-1], socket=socket, device=device,
        neighbors="\n".join(f'  - {{ interface: edge, address: {a}, mac: "02:00:00:00:bb:{i:02x}" }}' for i, a in enumerate(backends)),
        backends=", ".join(f"{{ name: web{i}, address: {a}, port: 80 }}" for i, a in enumerate(backends))))

    def worker() -> dict:
        answer = subprocess.run([build / "sluicectl", "--socket", socket, "--json", "status"], capture_output=True, text=True)
        return json.loads(answer.stdout)["workers"][0] if answer.returncode == 0 else {"tx_packets": 0, "flows": 0, "drops": 0}

    with log.open("w") as out:
        process = subprocess.Popen([build / "sluice", "run", folder / "sluice.yaml"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        wait_for(lambda: worker()["tx_packets"] > 10 * FLOWS, process, log)
        first = worker()
        rate = mpps(process.pid, lambda: worker()["tx_packets"], seconds)
        last = worker()
        if last["flows"] < FLOWS * 0.99 or last["drops"] != first["drops"]:
            sys.exit(f"sluice did not forward all: {last}")
        return rate
    finally:
        end(process)


def measure_testpmd(folder: Path, device: str, cpus: list[int], seconds: float) -> float:
    log = folder / "testpmd.log"
    command = ["dpdk-testpmd", "--lcores", f"0@{cpus[0]},1@{cpus[-1]}", "--no-huge", "-m", "256", "--no-shconf", "--no-pci", "--no-telemetry",
               f"--vdev={device}", "--", "--forward-mode=macswap", "--port-topology=loop", "--total-num-mbufs=16384", "--no-mlockall",
               "--stats-period=1", "--auto-start"]

    def packets() -> int:
        counts = re.findall(r"TX-packets:\s*(\d+)", log.read_text())
        return int(counts[-1]) if counts else 0

    def next_packets() -> int:  # at the moment when testpmd has counted them
        before = log.stat().st_size
        while log.stat().st_size == before:
            time.sleep(0.001)
        time.sleep(0.005)
        return packets()

    with log.open("w") as out:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out)
    try:
        wait_for(lambda: packets() > 10 * FLOWS, process, log)
        return mpps(process.pid, next_packets, seconds)
    finally:
        end(process)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    if shutil.which("dpdk-testpmd") is None:
        sys.exit("dpdk-testpmd is not installed (tools/install bench)")
    cpus = sorted(os.sched_getaffinity(0))
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_capture(folder / "flows.pcap")
        device = f"net_pcap0,rx_pcap={folder}/flows.pcap,infinite_rx=1"
        for _ in range(arguments.repetitions):
            ours.append(measure_sluice(arguments.build, folder, device, cpus, arguments.seconds))
            theirs.append(measure_testpmd(folder, device, cpus, arguments.seconds))
    print(f"l4.worker_loop.sluice {max(ours):.2f} Mpps")
    print(f"l4.worker_loop.testpmd {max(theirs):.2f} Mpps")
    print(f"l4.worker_loop.vs_testpmd {max(ours) / max(theirs):.2f} ratio")


if __name__ == "__main__":
    main()
