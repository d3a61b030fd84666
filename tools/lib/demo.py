"""The second half of tools/demo: everything after packages and build are there."""
import argparse
import collections
import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from sluicelab import ROOT, certificates, nginx
from sluicelab.lab import BACKEND4, BACKEND6, BACKENDS, CLIENT4, CLIENT6, EDGE4, EDGE6, INSIDE4, INSIDE6, Lab, LabError
from sluicelab.sluice import Sluice

PREFIX = "sluice-demo-"
FOLDER = Path("/run/sluice-demo")
LOCK = Path("/run/sluice-demo.lock")
WEB4, WEB6 = "203.0.113.80", "2001:db8:2::80"    # the layer 4 service
SITE4, SITE6 = "203.0.113.10", "2001:db8:2::10"  # the HTTPS service
HOST = "www.example.com"
L4_REQUESTS = 12

PAGE = "A page that the backends allow to be cached for a minute.\n"
STATIC = "A file that sluice itself serves.\n"


def step(text: str, action):
    """One line for a step, with the time it took."""
    start = time.monotonic()
    print(f"{text:<52} ", end="", flush=True)
    try:
        result = action()
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - start:8.1f} s", flush=True)
    return result


def configuration(cert: Path, key: Path, static: Path) -> dict:
    cpus = sorted(os.sched_getaffinity(0))
    busy = cpus[-1]  # one cpu runs worker and proxy in one loop; the backends and curl have the others
    check = {"http": {"method": "HEAD", "path": "/"}, "interval": "500ms", "timeout": "400ms"}

    def pool(addresses):
        return {"backends": [{"name": name, "address": addresses[name], "port": 8080} for name in BACKENDS], "health": check}

    return {
        "runtime": {"main": cpus[0], "workers": [busy], "proxies": [busy], "memory": "512MiB", "hugepages": "off", "poll": "adaptive"},
        "interfaces": {
            "edge": {"device": "net_af_xdp0,iface=edge,busy_budget=0", "addresses": [f"{EDGE4}/25", f"{EDGE6}/64"],
                     "gateway": [CLIENT4, CLIENT6]},
            "inside": {"device": "net_af_xdp1,iface=inside,busy_budget=0", "addresses": [f"{INSIDE4}/24", f"{INSIDE6}/64"]},
        },
        "pools": {"web4": pool(BACKEND4), "web6": pool(BACKEND6)},
        "services": {
            "web4": {"listen": [f"{WEB4}:80/tcp"], "forward": {"mode": "nat", "pool": "web4"}},
            "web6": {"listen": [f"[{WEB6}]:80/tcp"], "forward": {"mode": "nat", "pool": "web6"}},
            "site": {
                "listen": [f"{SITE4}:443", f"[{SITE6}]:443"],
                "proxy": {
                    "tls": {"certificates": [{"cert": str(cert), "key": str(key)}]},
                    "routes": [
                        {"match": {"path": "/static/"},
                         "static": {"alias": f"{static}/", "expires": "30d", "headers": {"Cache-Control": "public"}}},
                        {"pool": "web4", "cache": {}},
                    ],
                },
            },
        },
        "cache": {"memory": "64MiB"},
    }


class Answer:
    """What curl got: status, headers with lower-case names, body."""

    def __init__(self, text: str):
        head, _, self.body = text.replace("\r\n", "\n").partition("\n\n")
        first, *lines = head.split("\n")
        self.status = int(first.split(" ")[1]) if first.startswith("HTTP/") else 0
        self.headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines if ":" in line}


class Demo:
    def __init__(self):
        self.lab = Lab(PREFIX)
        self.sluice: Sluice | None = None
        self.ca: Path | None = None
        self.wrong = 0

    # ---- the machinery ----

    def set_up(self):
        step("lab: namespaces client, sluice, backend1..3", self.lab.up)
        cert, key = step("a certificate for " + HOST, self.make_certificate)
        static = FOLDER / "static"
        static.mkdir()
        (static / "hello.txt").write_text(STATIC)
        step("three nginx backends", self.start_backends)
        self.sluice = Sluice(self.lab, FOLDER, configuration(cert, key, static))
        step("sluice on net_af_xdp", self.sluice.start)
        step("its health checks find all backends up", self.sluice.wait_until_up)

    def make_certificate(self):
        authority = certificates.Authority(FOLDER / "certificates")
        self.ca = authority.cert
        return authority.issue(HOST)

    def start_backends(self):
        root = FOLDER / "www"
        (root / "cached").mkdir(parents=True)
        (root / "cached/page.txt").write_text(PAGE)
        servers = [nginx.backend(self.lab, name, FOLDER / name, root) for name in BACKENDS]
        for server in servers:
            server.wait_until_ready("127.0.0.1", 8080)

    def take_down(self):
        if self.sluice and self.sluice.process:
            code = step("sluice ends its connections and stops", self.sluice.stop)
            if code != 0:
                self.wrong += 1
                print(f"sluice ended with exit code {code}:\n{self.sluice.log()}")
        step("lab: all of it removed", self.lab.down)
        shutil.rmtree(FOLDER, ignore_errors=True)

    # ---- what it shows ----

    def curl(self, url: str, *options: str) -> Answer:
        command = ["curl", "-sS", "-i", "--max-time", "10", *options, url]
        result = self.lab.run("client", *command, check=False)
        if result.returncode != 0:
            return Answer(f"failed\n\n{result.stderr}")
        return Answer(result.stdout)

    def site(self, path: str, address: str = SITE4) -> Answer:
        target = f"[{address}]" if ":" in address else address
        return self.curl(f"https://{HOST}{path}", "--cacert", str(self.ca), "--connect-to", f"{HOST}:443:{target}:443")

    def show(self, what: str, said: str, right: bool):
        self.wrong += not right
        print(f"  {what:<40} {said:<52} {'ok' if right else 'WRONG'}", flush=True)

    def ask_layer4(self):
        print("\nLayer 4: each connection goes to one of the backends, packet by packet.")
        for url in (f"http://{WEB4}/", f"http://[{WEB6}]/"):
            answers = [self.curl(url) for _ in range(L4_REQUESTS)]
            by = collections.Counter(answer.headers.get("x-backend", "nobody") for answer in answers)
            right = all(answer.status == 200 and answer.body == answer.headers.get("x-backend", "") + "\n" for answer in answers)
            said = ", ".join(f"{name} {count}" for name, count in sorted(by.items()))
            self.show(f"{L4_REQUESTS} x {url}", said, right and set(by) <= set(BACKENDS) and len(by) > 1)

    def ask_https(self):
        print("\nLayer 7: sluice ends TLS, and proxies, caches or serves.")
        answer = self.site("/")
        by = answer.headers.get("x-backend", "nobody")
        self.show(f"https://{HOST}/", f"{answer.status}, by {by}", answer.status == 200 and by in BACKENDS)
        answer = self.site("/", SITE6)
        by = answer.headers.get("x-backend", "nobody")
        self.show(f"https://{HOST}/ over IPv6", f"{answer.status}, by {by}", answer.status == 200 and by in BACKENDS)
        for turn, hit in (("first", False), ("second", True)):
            answer = self.site("/cached/page.txt")
            status = answer.headers.get("cache-status", "no Cache-Status")
            fine = answer.status == 200 and answer.body == PAGE and ("; hit" in status) == hit
            self.show(f"/cached/page.txt, {turn} time", f"{answer.status}, {status}", fine)
        answer = self.site("/static/hello.txt")
        control = answer.headers.get("cache-control", "no Cache-Control")
        fine = answer.status == 200 and answer.body == STATIC and "public" in control and "max-age=2592000" in control
        self.show("/static/hello.txt", f"{answer.status}, {control}", fine)
        answer = self.site("/missing")
        self.show("/missing", f"{answer.status}", answer.status == 404)

    def show_state(self):
        print("\nsluicectl backends:")
        print("\n".join("  " + line for line in self.sluice.table("backends").splitlines()))

    def say_what_to_try(self):
        lab = f"SLUICE_LAB={PREFIX} {ROOT}/tools/lab"
        ctl = f"{ROOT}/build/sluicectl --socket {self.sluice.socket}"
        print(f"""
It stays up. To try, in another terminal, as root:
  {lab} exec client curl http://{WEB4}/
  {lab} exec client curl --cacert {self.ca} --connect-to {HOST}:443:{SITE4}:443 -i https://{HOST}/cached/page.txt
  {lab} exec client wrk -c 20 -d 5 http://{WEB4}/
  {ctl} status          (also: services, backends, flows, drops, interfaces; --json)
  {lab} exec sluice tcpdump -ni edge      (packets that sluice sends; what it receives never reaches the kernel)
  {lab} loss 1          (loses 1 % of the packets between client and sluice)
  kill {self.lab_process('backend2')}          (ends backend2: no new flow goes there)
Its configuration is {self.sluice.config_file}, its log {self.sluice.log_file}.
Ctrl-C takes everything down.""", flush=True)

    def lab_process(self, name: str) -> str:
        return (FOLDER / name / "nginx.pid").read_text().strip()


def leftovers() -> list[str]:
    """What must not be there after the end."""
    found = [f"namespace {path.name}" for path in Path("/run/netns").glob(PREFIX + "*")]
    found += [str(path) for path in (FOLDER,) if path.exists()]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(bytes(FOLDER) + b"/") for word in words):
            found.append(f"process {folder.name}: {b' '.join(words).decode(errors='replace')}")
    return found


def terminated(*_):
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    signal.signal(signal.SIGTERM, terminated)
    lock = open(LOCK, "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("demo: another demo is running on this machine")
    dpdk_before = set(Path("/run/dpdk").glob("*"))
    demo = Demo()
    if demo.lab.exists() or FOLDER.exists():  # of a demo that was killed
        step("what an earlier demo left behind is removed", demo.lab.down)
        shutil.rmtree(FOLDER, ignore_errors=True)
    failure = None
    try:
        FOLDER.mkdir(mode=0o755)
        demo.set_up()
        demo.ask_layer4()
        demo.ask_https()
        demo.show_state()
        if not check:
            demo.say_what_to_try()
            signal.pause()
    except KeyboardInterrupt:
        if check:
            failure = "interrupted"
    except (LabError, OSError) as error:
        failure = error
    print(flush=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not stop the clearing up
    demo.take_down()
    left = leftovers() + [str(path) for path in set(Path("/run/dpdk").glob("*")) - dpdk_before]
    LOCK.unlink()
    if left:
        print("left behind: " + "; ".join(left))
    if failure:
        print(f"demo: {failure}")
    if demo.wrong:
        print(f"demo: {demo.wrong} answers were wrong")
    good = not (failure or demo.wrong or left)
    if good and check:
        print("demo: every answer was right, and nothing is left behind")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
