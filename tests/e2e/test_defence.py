"""Defence with the kernel's TCP on both sides: connections through the SYN proxy, and lists that change under traffic."""
import hashlib
import re
import signal
import socket
import time

import pytest

import client
import world
from sluicelab.lab import wait_for

FAMILIES = {"ipv4": (world.L4_4, "web4"), "ipv6": (world.L4_6, "web6")}
DOWN_PORT = 81  # of a service whose backend refuses
TIMESTAMPS, SACK, WINDOW_SCALE = 1, 2, 4  # of tcpi_options
UPLOAD = 8 << 20
MANY, MANY_TAKE_AT_MOST = 1_000_000, 60 * world.PATIENCE  # prefixes; seconds, of which they take less than one


@pytest.fixture(scope="module")
def deny_file(folder):
    path = folder / "deny.txt"
    path.write_text("# nobody yet\n")
    return path


@pytest.fixture(scope="module")
def sluice(start_sluice, origins, deny_file):
    origins.restore()
    config = world.layer4_config()
    config["pools"]["http6"] = world.pools()["http6"]
    config["pools"]["dead"] = world.pools()["dead"]
    services = config["services"]
    services["web6"] = {"listen": f"[{world.L4_6}]:80/tcp", "forward": {"mode": "nat", "pool": "http6"}}
    services["dead"] = {"listen": f"{world.L4_4}:{DOWN_PORT}/tcp", "forward": {"mode": "nat", "pool": "dead"}}
    for name in ("echo4", "echo6", "web4", "web6", "dead"):
        services[name]["syn_proxy"] = "always"
    config["defence"] = {"deny": str(deny_file)}
    with start_sluice(config) as running:
        running.wait_until_up("backend1", "backend2", "backend3")
        yield running


@pytest.fixture(params=[0, 1], ids=["no_loss", "loss_of_1_percent"])
def loss(request, lab):
    lab.loss(request.param)
    yield request.param
    lab.loss(0)


def counter(sluice, name: str) -> int:
    return sum(worker[name] for worker in sluice.ctl("status")["workers"])


def own_drops(sluice) -> dict[str, int]:
    """Without what the kernels around say to everybody."""
    return {reason: count for reason, count in sluice.drops().items() if reason != "not_for_us"}


@pytest.mark.parametrize("family", FAMILIES)
def test_options_and_data_through_the_syn_proxy(lab, sluice, family, loss):
    address, _ = FAMILIES[family]
    taken = counter(sluice, "syn_cookies_taken")
    with client.Connection(lab, address, 80, timeout=60) as connection:
        options = connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5]
        assert options & (TIMESTAMPS | SACK | WINDOW_SCALE) == TIMESTAMPS | SACK | WINDOW_SCALE
        body = bytes(range(256)) * (UPLOAD // 256)
        answer = connection.get("/sha256", method="POST", body=body)
        assert answer.text().strip() == hashlib.sha256(body).hexdigest()
        assert len(connection.get(f"/bytes/{UPLOAD}").body) == UPLOAD
    assert counter(sluice, "syn_cookies_taken") > taken


def test_the_backend_may_speak_first(lab, sluice):
    """Nothing that the client sends opens the window: the SYN proxy does."""
    for address in (world.L4_4, world.L4_6):
        with lab.connect("client", address, world.ECHO_PORT) as connection:
            connection.settimeout(10 * world.PATIENCE)
            assert connection.recv(200).startswith(b"backend")


def test_a_backend_that_refuses_resets_the_client(lab, sluice):
    with lab.connect("client", world.L4_4, DOWN_PORT) as connection:  # it is we who shook hands
        connection.settimeout(10 * world.PATIENCE)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_many_connections(lab, sluice):
    for number in range(300):
        address, _ = FAMILIES["ipv6" if number % 2 else "ipv4"]
        with client.Connection(lab, address, 80) as connection:
            assert connection.get("/echo").status == 200


def test_lists_change_under_traffic(lab, sluice, deny_file):
    """SIGHUP reads the lists again. A connection that is there feels nothing of 20 reloads; then its source is denied."""
    with client.Connection(lab, world.L4_4, 80) as connection:
        own = connection.socket.getsockname()[0]
        drops = own_drops(sluice)
        for number in range(20):
            deny_file.write_text("".join(f"198.18.{number}.{host}\n" for host in range(256)))
            sluice.process.send_signal(signal.SIGHUP)
            assert connection.get("/echo").status == 200
        wait_for(lambda: sluice.log().count("SIGHUP: 256 prefixes") > 0, "the reload is in the log", 5)
        assert own_drops(sluice) == drops

        deny_file.write_text(f"192.0.2.0/33\n{own}\n")
        sluice.process.send_signal(signal.SIGHUP)
        wait_for(lambda: f"{deny_file}:1: '192.0.2.0/33' is not a prefix or an address" in sluice.log(), "what is wrong is said", 5)
        assert connection.get("/echo").status == 200

        deny_file.write_text(f"{own}  # the client\n")
        sluice.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "SIGHUP: 1 prefixes" in sluice.log(), "the list is in force", 5)
        connection.socket.settimeout(1)
        with pytest.raises((TimeoutError, client.Closed)):
            connection.get("/echo")
        assert sluice.drops().get("denied", 0) > 0

        deny_file.write_text("")
        sluice.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "SIGHUP: 0 prefixes" in sluice.log(), "the list is empty", 5)
        time.sleep(0.1)
        with client.Connection(lab, world.L4_4, 80) as again:
            assert again.get("/echo").status == 200


def test_a_million_prefixes_are_read_under_traffic(lab, sluice, deny_file):
    """The control thread reads them; the workers go on meanwhile, and drop nothing. Then the list holds."""
    prefixes = [f"2001:db8:1{high:03x}:{low:x}::/64\n" for high in range(0, 4000, 2) for low in range(0, 1000, 2)]
    assert len(prefixes) == MANY
    with client.Connection(lab, world.L4_4, 80, timeout=20 * world.PATIENCE) as connection:
        own = connection.socket.getsockname()[0]
        drops = own_drops(sluice)
        deny_file.write_text("".join(prefixes))
        before = len(sluice.log())
        sluice.process.send_signal(signal.SIGHUP)
        answered, deadline = 0, time.monotonic() + MANY_TAKE_AT_MOST
        while not (done := re.search(r"SIGHUP: (\d+) prefixes .* after (\d+) ms\n", sluice.log()[before:])):
            assert connection.get("/echo").status == 200
            answered += 1
            assert time.monotonic() < deadline, sluice.log()
        assert int(done[1]) == MANY
        assert 0 < int(done[2]) < MANY_TAKE_AT_MOST * 1000
        assert answered >= 2  # a busy machine's takes ten milliseconds, the list some hundred
        assert own_drops(sluice) == drops
        with client.Connection(lab, world.L4_6, 80) as other:
            assert other.get("/echo").status == 200

        deny_file.write_text("".join(prefixes) + f"{own}\n")
        assert f"SIGHUP: {MANY + 1} prefixes" in sluice.reload(MANY_TAKE_AT_MOST)
        connection.socket.settimeout(1)
        with pytest.raises((TimeoutError, client.Closed)):
            connection.get("/echo")
        with client.Connection(lab, world.L4_6, 80) as other:
            assert other.get("/echo").status == 200

        deny_file.write_text("")
        assert "SIGHUP: 0 prefixes" in sluice.reload(MANY_TAKE_AT_MOST)
    with client.Connection(lab, world.L4_4, 80) as again:
        assert again.get("/echo").status == 200


def test_the_file_may_name_other_lists(lab, sluice, folder, deny_file):
    """SIGHUP takes lists over, and says what needs a restart; what is wrong changes nothing."""
    original = sluice.config
    other = folder / "other.txt"
    other.write_text("198.18.0.0/15\n192.0.2.0/24\n")
    try:
        sluice.write({**original, "defence": {"deny": str(other)}, "log": {"level": "info"}})
        assert "SIGHUP: 2 prefixes" in sluice.reload()
        with pytest.raises(TimeoutError):
            lab.connect("client", world.L4_4, 80, timeout=0.5)

        sluice.write({**original, "cache": {"memory": "32MiB", "object_limit": "1MiB"}, "services": {**original["services"], "none": "x"}})
        said = sluice.reload()
        assert "SIGHUP: all stays as it is" in said and f"{sluice.config_file}:" in said and "services.none" in said
        with pytest.raises(TimeoutError):
            lab.connect("client", world.L4_4, 80, timeout=0.5)

        sluice.write({**original, "cache": {"memory": "32MiB", "object_limit": "1MiB"}})
        said = sluice.reload()
        assert "SIGHUP: 0 prefixes" in said and "need a restart, in: cache\n" in said
        with client.Connection(lab, world.L4_4, 80) as again:
            assert again.get("/echo").status == 200
    finally:
        sluice.write(original)
        sluice.reload()
