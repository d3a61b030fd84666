"""Mode esp with real clients: through tunnels of both families, answers past sluice and back through the tunnel, and keys that
change under traffic. The other end is esp_end.py: the kernel of the lab need not know ESP."""
import contextlib
import hashlib
import json
import pathlib
import socket
import subprocess
import sys
from dataclasses import dataclass

import pytest

import client
import origin
import world
from sluicelab.lab import BACKEND4, BACKEND6, BACKENDS, INSIDE4, INSIDE6, wait_for
from test_direct import CLIENTS, SERVICES, answers_past_sluice
from test_fragments import IP_MTU_DISCOVER, IP_PMTUDISC_DONT

HERE = pathlib.Path(__file__).resolve().parent
WORKERS = 2
GENERATIONS = 6  # of keys
TUNNEL_MTU = 1400
BYTES = 1_000_000


@dataclass
class Tunnel:
    through: bool  # answers come back through it
    ipv6: bool

    @property
    def addresses(self) -> dict:
        return BACKEND6 if self.ipv6 else BACKEND4

    @property
    def added(self) -> int:
        """IP, ESP, IV, trailer, check value; what is left of 1,500 ends on a word."""
        return 74 if self.ipv6 else 54


TUNNELS = {"past": Tunnel(False, False), "past6": Tunnel(False, True), "through": Tunnel(True, False), "through6": Tunnel(True, True)}


def association(name: str, direction: str, generation: int, ipv6: bool) -> dict:
    """Over IPv6: AES-256 and extended numbers; over IPv4: AES-128 without."""
    spi = (0x1000 if direction == "out" else 0x8000_0000) + BACKENDS.index(name) * 0x1000 + generation * 0x10
    key = hashlib.sha512(f"{name} {direction} {generation} {ipv6}".encode()).hexdigest()
    return {"spi": spi, "key": "0x" + key[:72 if ipv6 else 40], "esn": ipv6}


def peers(tunnel: Tunnel, out: int = 0, inbound: tuple = (0,)) -> list:
    """By which generation is sealed, and which ones are taken."""
    rows = []
    for name in BACKENDS:
        row = {"address": tunnel.addresses[name], "out": association(name, "out", out, tunnel.ipv6)}
        if tunnel.through:
            row["in"] = [association(name, "in", generation, tunnel.ipv6) for generation in inbound]
        rows.append(row)
    return rows


class End:
    """esp_end.py on one backend."""

    def __init__(self, lab, name: str, tunnel: Tunnel):
        self.name, self.tunnel = name, tunnel
        inbound = []
        for generation in range(GENERATIONS):
            one = association(name, "out", generation, tunnel.ipv6)
            inbound += [{**one, "spi": one["spi"] + worker} for worker in range(WORKERS)]
        outbound = [association(name, "in", generation, tunnel.ipv6) for generation in range(GENERATIONS)] if tunnel.through else []
        parameters = {"here": tunnel.addresses[name], "sluice": INSIDE6 if tunnel.ipv6 else INSIDE4, "in": inbound, "out": outbound,
                      "services": list(SERVICES.values())}
        self.process = lab.start(name, sys.executable, "-B", HERE / "esp_end.py", "tunnel", json.dumps(parameters),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, command: str) -> dict:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def opened(self, generation: int) -> int:
        """Packets that sluice has sealed by it."""
        first = association(self.name, "out", generation, self.tunnel.ipv6)["spi"]
        return sum(self.tell("stats")["opened"].get(str(first + worker), 0) for worker in range(WORKERS))


@contextlib.contextmanager
def ends_of(lab, tunnel: Tunnel):
    ends = {}
    try:
        for name in BACKENDS:
            ends[name] = End(lab, name, tunnel)
            lab.run(name, "sysctl", "-q", "-w", "net.ipv4.conf.tunnel.rp_filter=0", "net.ipv6.conf.tunnel.addr_gen_mode=1")
            lab.run(name, "ip", "link", "set", "tunnel", "mtu", TUNNEL_MTU, "up")
            if tunnel.through:
                for own in CLIENTS.values():
                    lab.run(name, "ip", "route", "replace", own, "dev", "tunnel")
        yield ends
    finally:
        for end in ends.values():
            end.process.kill()
            end.process.wait()


def config(tunnel: Tunnel, state: pathlib.Path) -> dict:
    base = world.layer4_config(workers=[world.CPUS[-1]] * WORKERS)
    check = {**world.TCP_CHECK, "port": world.ECHO_PORT}
    backends = [{"name": name, "address": tunnel.addresses[name]} for name in BACKENDS]
    base["pools"], base["services"] = {"web": {"backends": backends, "health": check}}, {}
    for family, address in SERVICES.items():
        host = f"[{address}]" if ":" in address else address
        base["services"][f"web-{family}"] = {"listen": [f"{host}:{port}/tcp" for port in (world.ECHO_PORT, world.HTTP_PORT)],
                                             "forward": {"pool": "web", "timeouts": world.SHORT_FLOWS, "mode": "esp"}}
    base["esp"] = {"state": str(state), "peers": peers(tunnel)}
    return base


@dataclass
class Setting:
    tunnel: Tunnel
    ends: dict
    sluice: object

    def totals(self, key: str) -> int:
        return sum(sum(stats[key].values()) if isinstance(stats[key], dict) else stats[key]
                   for stats in (end.tell("stats") for end in self.ends.values()))

    def counter(self, name: str) -> int:
        return sum(worker[name] for worker in self.sluice.ctl("status")["workers"])

    def esp_drops(self) -> dict:
        return {reason: count for reason, count in self.sluice.drops().items() if reason.startswith("esp_")}

    def change_keys(self, out: int, inbound: tuple):
        self.sluice.write({**self.sluice.config, "esp": {**self.sluice.config["esp"], "peers": peers(self.tunnel, out, inbound)}})
        return self.sluice.reload()


@pytest.fixture(scope="module")
def links(lab, origins):
    origins.restore()
    with answers_past_sluice(lab):
        yield


@pytest.fixture(scope="module", params=list(TUNNELS))
def setting(request, lab, links, start_sluice, folder):
    tunnel = TUNNELS[request.param]
    with ends_of(lab, tunnel) as ends, start_sluice(config(tunnel, folder / f"{request.param}.state")) as running:
        running.wait_until_up(*BACKENDS)
        yield Setting(tunnel, ends, running)
    for name in BACKENDS:
        for own in CLIENTS.values():
            lab.run(name, "ip", "route", "replace", own, "dev", "direct")
    for family in ("-4", "-6"):
        lab.run("client", "ip", family, "route", "flush", "cache", check=False)


@pytest.fixture(params=SERVICES)
def family(request):
    return request.param


def test_a_backend_sees_its_client_and_answers(lab, setting, family):
    sealed, opened = setting.totals("opened"), setting.totals("sealed")
    with lab.connect("client", SERVICES[family], world.ECHO_PORT) as connection:
        name, peer, port = connection.recv(200).decode().split()
        assert name in BACKENDS and peer == CLIENTS[family]
        connection.sendall(b"hello\n")
        assert connection.recv(200).decode() == f"{name} {port} hello\n"
    assert setting.totals("opened") > sealed
    assert (setting.totals("sealed") > opened) == setting.tunnel.through


def test_large_answers_arrive(lab, setting, family):
    with client.Connection(lab, SERVICES[family], world.HTTP_PORT) as connection:
        assert connection.get(f"/bytes/{BYTES}").body == origin.pattern(0, BYTES)


def test_large_requests_learn_what_the_tunnel_leaves(lab, setting, family):
    body = origin.pattern(0, BYTES)
    with client.Connection(lab, SERVICES[family], world.HTTP_PORT, timeout=20) as connection:
        answer = connection.get("/sha256", method="POST", body=body)
        assert answer.text().strip() == hashlib.sha256(body).hexdigest()
    if not setting.tunnel.through:  # else the backend's own MSS, by the tunnel's MTU, has it fit
        assert f"mtu {1500 - setting.tunnel.added}" in lab.run("client", "ip", "route", "get", SERVICES[family]).stdout


def test_requests_without_df_are_cut(lab, setting):
    """Each fragment is sealed by itself; the backend's kernel puts together what comes out."""
    lab.run("client", "ip", "-4", "route", "flush", "cache", check=False)  # of what another test has learned
    before, wrong = setting.counter("packets_cut"), setting.totals("wrong")
    with client.Connection(lab, SERVICES["ipv4"], world.HTTP_PORT, timeout=20) as connection:
        connection.socket.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
        upload(connection, BYTES)
    if not setting.tunnel.through:  # else the backend's own MSS, by the tunnel's MTU, has it fit
        assert setting.counter("packets_cut") - before >= BYTES // 1500
    assert setting.totals("wrong") == wrong


def test_connections_are_spread_over_backends_and_workers(lab, setting):
    seen = client.echo_many(lab, world.L4_4, world.ECHO_PORT, 200)
    assert not [one.failure for one in seen if one.failure]
    assert {one.backend for one in seen} == set(BACKENDS)
    for end in setting.ends.values():
        first = association(end.name, "out", 0, setting.tunnel.ipv6)["spi"]
        assert {int(spi) for spi in end.tell("stats")["opened"]} == {first + worker for worker in range(WORKERS)}


def test_replays_and_forgeries_are_counted(lab, setting):
    if not setting.tunnel.through:
        assert setting.counter("esp_opened") == 0
        return
    with lab.connect("client", world.L4_4, world.ECHO_PORT) as connection:
        name = connection.recv(200).decode().split()[0]
        before, opened = setting.esp_drops(), setting.counter("esp_opened")
        setting.ends[name].tell("replay 5")
        setting.ends[name].tell("forge 3")
        wanted = {reason: before.get(reason, 0) + count for reason, count in (("esp_replayed", 5), ("esp_forged", 3))}
        wait_for(lambda: setting.esp_drops() == wanted, f"{wanted}, and not {setting.esp_drops()}", 5)
        assert setting.counter("esp_opened") <= opened + 2  # an ACK that was under way
        connection.sendall(b"still there\n")
        assert b"still there" in connection.recv(200)


def upload(connection, size: int):
    body = origin.pattern(0, size)
    answer = connection.get("/sha256", method="POST", body=body)
    assert answer.text().strip() == hashlib.sha256(body).hexdigest()


def test_keys_change_during_a_download(lab, setting, family):
    """Each generation of keys takes over the one before, in both directions, while a connection downloads and others upload: none
    breaks, nothing is dropped, and no IV comes twice under a key."""
    size, piece = 48 << 20, 6 << 20
    drops, wrong = setting.esp_drops(), setting.totals("wrong")
    order = list(range(GENERATIONS)) + [0]  # and back to the first ones, which go on behind their numbers
    with client.Connection(lab, SERVICES[family], world.HTTP_PORT, timeout=30) as download, \
         client.Connection(lab, SERVICES[family], world.HTTP_PORT, timeout=30) as other:
        download.request(f"/bytes/{size}")
        download._until(b"\r\n\r\n")
        received = 0
        for old, new in zip(order, order[1:]):
            before = {name: end.opened(new) for name, end in setting.ends.items()}
            said = setting.change_keys(new, (new, old))
            assert f"and 3 peers of esp with {6 if setting.tunnel.through else 3} new associations" in said
            assert "restart" not in said
            if setting.tunnel.through:
                for name, end in setting.ends.items():
                    end.tell(f"send {association(name, 'in', new, setting.tunnel.ipv6)['spi']}")
            data = download._exactly(piece)
            assert data == origin.pattern(received, piece)
            received += piece
            upload(other, 200_000)
            assert sum(end.opened(new) - before[name] for name, end in setting.ends.items()) > 20
            setting.change_keys(new, (new,))
        assert download._exactly(size - received) == origin.pattern(received, size - received)
        upload(other, 200_000)
    assert setting.esp_drops() == drops
    assert setting.totals("wrong") == wrong
    for key in ("iv_twice", "late"):
        assert setting.totals(key) == 0


def test_what_is_wrong_changes_nothing(lab, setting):
    original, running = setting.sluice.config, peers(setting.tunnel)
    missing = [{**running[0], "out": {"spi": 0x5000, "key_file": "/nowhere/key"}}, *running[1:]]
    for wrong, message in ((missing, "esp.peers[0].out.key_file: '/nowhere/key': No such file"),
                           (running[:2], "no peer of 'esp' has")):
        setting.sluice.write({**original, "esp": {**original["esp"], "peers": wrong}})
        said = setting.sluice.reload()
        assert "SIGHUP: all stays as it is" in said and message in said
        with client.Connection(lab, world.L4_4, world.HTTP_PORT) as connection:
            assert connection.get("/echo").status == 200
    setting.sluice.write(original)
