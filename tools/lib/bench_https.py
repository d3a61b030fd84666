"""tools/bench https: what a request costs the CPU, for sluice and for nginx, in the same run.

Both end TLS 1.3 with the same suite and certificate in front of the same nginx backend, and are asked by the same wrk. The product runs
on the last CPU, the backend and the receive side of every other interface on the other ones, and wrk on all: so the machine is
saturated whoever is the faster, and no product is measured while it waits for its clients. sluice is on net_af_xdp, its
interfaces without offloads, as DPDK's software drivers need it; nginx has a veth pair of its own with the kernel's offloads on, as
its users have it. The figure is the CPU time of the product's process (schedstat, all its threads) over the requests that wrk counted. The two
take turns, and the smallest figure of each counts.
"""
import argparse
import os
import re
import shutil
import ssl
import sys
import tempfile
import time
from pathlib import Path

from sluicelab import certificates, nginx
from sluicelab.lab import BACKEND4, EDGE4, INSIDE4, PEER4, CLIENT4, Lab, LabError
from sluicelab.sluice import Sluice

PREFIX = "sluice-bench-"
HOST = "www.example.com"
SITE4 = "203.0.113.10"
SUITE = "TLS_AES_128_GCM_SHA256"
CONNECTIONS = 50
CASES = {"cached_1k": "/cached/1k.bin", "cached_16k": "/cached/16k.bin", "proxied_1k": "/proxied/1k.bin"}

_NGINX = """
    proxy_cache_path {folder}/cache levels=1:2 keys_zone=bench:10m max_size=1g inactive=1h use_temp_path=off;
    open_file_cache max=1000 inactive=1h;
    upstream backend {{ server {backend}:8090; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen {address}:443 ssl backlog=4096;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites {suite};
        ssl_session_tickets on;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        add_header Cache-Status $upstream_cache_status;
        location /cached/ {{ proxy_pass http://backend; proxy_cache bench; proxy_cache_lock on; }}
        location / {{ proxy_pass http://backend; }}
    }}
"""


def step(text: str, action):
    start = time.monotonic()
    print(f"{text:<52} ", end="", flush=True)
    result = action()
    print(f"{time.monotonic() - start:8.1f} s", flush=True)
    return result


def cpu_seconds(pids) -> float:
    """What all threads of these processes have run so far."""
    total = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
    return total / 1e9


class Product:
    def __init__(self, name: str, address: str, pids):
        self.name, self.address, self.pids = name, address, pids
        self.best: dict[str, float] = {}
        self.used: dict[str, float] = {}


class Bench:
    def __init__(self, arguments, folder: Path):
        self.arguments, self.folder = arguments, folder
        self.lab = Lab(PREFIX, "--peer")
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) < 2:
            sys.exit("bench: needs two CPUs, one for the product and one for its clients")
        self.product_cpu, self.other_cpus = cpus[-1], cpus[:-1]
        self.others = ",".join(map(str, self.other_cpus))
        self.products: list[Product] = []

    def set_up(self):
        self.lab.down()
        step("lab with a second machine for nginx", self.lab.up)
        self.steer_receive_sides()
        authority = certificates.Authority(self.folder / "certificates")
        self.ca = authority.cert
        self.cert, self.key = authority.issue(HOST)
        root = self.folder / "www"
        for name in ("cached", "proxied"):
            (root / name).mkdir(parents=True)
            for size, end in ((1 << 10, "1k"), (16 << 10, "16k")):
                (root / name / f"{end}.bin").write_bytes(os.urandom(size))
        backend = nginx.backend(self.lab, "backend1", self.folder / "backend", root, port=8090, cpus=self.others)
        backend.wait_until_ready("127.0.0.1", 8090)
        step("nginx", self.start_nginx)
        step("sluice", self.start_sluice)
        for product in self.products:
            self.verify(product)

    def steer_receive_sides(self):
        """What the kernel does on the way to clients and backends happens on their CPUs, whoever sends."""
        mask = f"{sum(1 << cpu for cpu in self.other_cpus):x}"
        for name in ("client", "switch", "backend1", "backend2", "backend3"):
            self.lab.run(name, "sh", "-c", f"for queue in /sys/class/net/*/queues/rx-*/rps_cpus; do echo {mask} > $queue; done")

    def start_nginx(self):
        http = _NGINX.format(folder=self.folder / "nginx", backend=BACKEND4["backend1"], address=PEER4, cert=self.cert, key=self.key, suite=SUITE)
        server = nginx.Nginx(self.lab, "peer", self.folder / "nginx", http, cpus=str(self.product_cpu))
        server.wait_until_ready(PEER4, 443)
        self.products.append(Product("nginx", PEER4, server.worker_pids))

    def start_sluice(self):
        config = {
            "runtime": {"main": self.other_cpus[0], "workers": [self.product_cpu], "proxies": [self.product_cpu], "memory": "512MiB",
                        "hugepages": "off", "poll": self.arguments.poll},
            "interfaces": {
                "edge": {"device": "net_af_xdp0,iface=edge,busy_budget=0", "addresses": f"{EDGE4}/25", "gateway": CLIENT4},
                "inside": {"device": "net_af_xdp1,iface=inside,busy_budget=0", "addresses": f"{INSIDE4}/24"},
            },
            "pools": {"web": {"backends": [{"name": "backend1", "address": BACKEND4["backend1"], "port": 8090}],
                              "keepalive": {"idle": 64}}},
            "services": {"site": {"listen": f"{SITE4}:443", "proxy": {
                "tls": {"certificates": {"cert": str(self.cert), "key": str(self.key)}, "min_version": "1.3", "ciphers": SUITE},
                "limits": {"requests": 1_000_000_000},
                "routes": [{"match": {"path": "/cached/"}, "pool": "web", "cache": {}}, {"pool": "web"}],
            }}},
            "cache": {"memory": "256MiB"},
        }
        sluice = Sluice(self.lab, self.folder, config).start()
        self.products.append(Product("sluice", SITE4, lambda: [sluice.process.pid]))
        return sluice

    def verify(self, product: Product):
        """Same protocol and suite, same bytes; the cache is warm afterwards."""
        context = ssl.create_default_context(cafile=str(self.ca))
        for path in CASES.values():
            for turn in range(2):
                with context.wrap_socket(self.lab.connect("client", product.address, 443), server_hostname=HOST) as connection:
                    if (connection.version(), connection.cipher()[0]) != ("TLSv1.3", SUITE):
                        raise LabError(f"{product.name} speaks {connection.version()} {connection.cipher()[0]}")
                    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                    head, _, body = self.read_all(connection).partition(b"\r\n\r\n")
            wanted = (self.folder / "www" / path.lstrip("/")).read_bytes()
            if b" 200 " not in head.split(b"\r\n")[0] or body != wanted:
                raise LabError(f"{product.name} answers {path} wrongly: {head!r}")
            if path.startswith("/cached/") and b"hit" not in head.lower():
                raise LabError(f"{product.name} did not answer {path} from its cache: {head!r}")

    @staticmethod
    def read_all(connection) -> bytes:
        data = b""
        while piece := connection.recv(65536):
            data += piece
        return data

    def measure(self, product: Product, case: str, seconds: float):
        """CPU seconds a request, and how much of its CPU the product used."""
        before, start = cpu_seconds(product.pids()), time.monotonic()
        result = self.lab.run("client", "wrk", "-c", CONNECTIONS, "-t", len(self.other_cpus) + 1, "-d", f"{seconds:g}",
                              "-H", f"Host: {HOST}", f"https://{product.address}{CASES[case]}", timeout=seconds + 60)
        wall = time.monotonic() - start
        used = cpu_seconds(product.pids()) - before
        if "Socket errors" in result.stdout or "Non-2xx" in result.stdout:
            raise LabError(f"{product.name}, {case}: wrk saw failures:\n{result.stdout}")
        requests = int(re.search(r"(\d+) requests in", result.stdout)[1])
        return used / requests, used / wall, requests / wall

    def run(self):
        for case in CASES:
            for product in self.products:
                self.measure(product, case, 1)  # warm up
            for turn in range(self.arguments.repetitions):
                for product in self.products:
                    cost, share, rate = self.measure(product, case, self.arguments.seconds)
                    print(f"{case}, turn {turn + 1}: {product.name:<7} {cost * 1e6:8.2f} us a request, {rate:9.0f} requests/s, "
                          f"{share:4.0%} of a CPU", flush=True)
                    if cost < product.best.get(case, 1e9):
                        product.best[case], product.used[case] = cost, share

    def report(self):
        by_name = {product.name: product for product in self.products}
        print()
        for case in CASES:
            ours, theirs = by_name["sluice"], by_name["nginx"]
            for product in (ours, theirs):
                print(f"https.{case}.{product.name}.us {product.best[case] * 1e6:.2f} us")
                print(f"https.{case}.{product.name}.cpu {product.used[case] * 100:.0f} %")
            print(f"https.{case}.vs_nginx {theirs.best[case] / ours.best[case]:.2f} ratio")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/bench https")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement (default 4)")
    parser.add_argument("--repetitions", type=int, default=3, help="of each; the smallest figure counts (default 3)")
    parser.add_argument("--poll", choices=["busy", "adaptive"], default="adaptive", help="sluice's runtime.poll (default adaptive)")
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    folder.chmod(0o755)
    bench = Bench(parser.parse_args(), folder)
    try:
        bench.set_up()
        bench.run()
        bench.report()
    except (LabError, KeyboardInterrupt) as error:
        print(f"bench: {error or 'interrupted'}", file=sys.stderr)
        return 1
    finally:
        bench.lab.down()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
