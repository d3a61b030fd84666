"""Start, wrong configurations, stop, and what is left afterwards."""
import copy
import subprocess
import threading
import time

import pytest
import yaml

import client
import world
from sluicelab import ROOT
from sluicelab.lab import BACKENDS, Lab, wait_for
from sluicelab.sluice import Sluice, build_folder


def sluice_command(lab, *arguments, timeout: float = 30.0) -> subprocess.CompletedProcess:
    return lab.run("sluice", build_folder() / "sluice", *arguments, check=False, timeout=timeout * world.PATIENCE)


def write(folder, name: str, config: dict):
    path = folder / name
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


# ---- configurations ----


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "config/examples").glob("*.yaml")) + ["../sluice.yaml"])
def test_examples_pass_check(lab, name):
    result = sluice_command(lab, "check", "--no-files", ROOT / "config/examples" / name)
    assert result.returncode == 0, result.stdout + result.stderr


def test_example_of_the_readme_passes_check(lab, folder):
    text = (ROOT / "README.md").read_text()
    path = folder / "readme.yaml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0])
    result = sluice_command(lab, "check", "--no-files", path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_all_errors_at_once_with_their_places(lab, folder):
    path = folder / "wrong.yaml"
    path.write_text("""\
runtime:
  wrokers: [0]
interfaces:
  edge: { device: "net_null0", addresses: [192.0.2.2/33] }
pools:
  web:
    balance: fastest
    backends:
      - { address: 198.51.100.11, port: 70000 }
services:
  site:
    listen: 203.0.113.10:80
    forward: { mode: nat, pool: wbe }
""")
    result = sluice_command(lab, "check", path)
    output = result.stdout + result.stderr
    assert result.returncode != 0
    for place, words in (("2:3", "workers"), ("4:", "192.0.2.2/33"), ("7:14", "fastest"), ("9:", "70000"), ("13:", "web")):
        lines = [line for line in output.splitlines() if f"{path}:{place}" in line]
        assert lines and any(words in line for line in lines), f"{place} {words}:\n{output}"
    run = sluice_command(lab, "run", path)
    assert run.returncode != 0 and "70000" in run.stdout + run.stderr


def test_what_is_not_built_yet_is_refused(lab, folder):
    config = world.layer4_config()
    config["interfaces"]["edge"]["bond"] = ["net_null0", "net_null1"]
    result = sluice_command(lab, "check", write(folder, "later.yaml", config))
    assert result.returncode != 0 and "not supported yet" in result.stdout + result.stderr


def test_missing_certificate_is_named(lab, folder, certs, files):
    config = world.config(certs, files)
    config["services"]["site"]["proxy"]["tls"]["certificates"][0]["cert"] = str(folder / "none.crt")
    result = sluice_command(lab, "run", write(folder, "nocert.yaml", config))
    assert result.returncode != 0 and "none.crt" in result.stdout + result.stderr


@pytest.mark.parametrize("device, words", [
    ("net_af_packet0,iface=nonesuch", ["nonesuch"]),
    ("net_af_xdp0,iface=nonesuch,busy_budget=0", ["nonesuch"]),
    ("net_pcap0,rx_pcap=/nonexistent/in.pcap,tx_pcap=/nonexistent/out.pcap", ["/nonexistent/in.pcap"]),
    ("0000:ff:1f.7", ["0000:ff:1f.7"]),
], ids=["af_packet", "af_xdp", "pcap", "pci"])
def test_device_that_cannot_be_opened_is_named(lab, folder, device, words):
    config = world.layer4_config()
    config["interfaces"]["edge"]["device"] = device
    result = sluice_command(lab, "run", write(folder, "device.yaml", config))
    output = result.stdout + result.stderr
    assert result.returncode not in {0, -6, -11}
    assert "edge" in output and all(word in output for word in words), output


def test_second_one_on_the_same_socket_is_refused(lab, folder, start_sluice, origins):
    with start_sluice(world.layer4_config()) as first:
        second = Sluice(lab, folder, world.layer4_config(), name="second")
        config = copy.deepcopy(second.config)
        config["admin"]["socket"] = str(first.socket)
        config["interfaces"] = {"edge": {"device": "net_null0", "addresses": ["192.0.2.99/25"]}}
        config["services"] = {}
        config["pools"] = {}
        result = sluice_command(lab, "run", write(folder, "same.yaml", config))
        assert result.returncode != 0 and str(first.socket) in result.stdout + result.stderr
        assert first.ctl("status")["pid"] == first.process.pid, "the first one is unharmed"


# ---- the end ----


def test_sigterm_lets_a_request_end(lab, start_sluice, origins, www, certs, files):
    running = start_sluice(world.config(certs, files)).start()
    running.wait_until_up("backend1", "backend2", "backend3")
    held = client.Connection(lab, world.SITE4, 443, context=certs.context())
    idle = client.Connection(lab, world.SITE4, 443, context=certs.context())
    assert idle.get("/hello").status == 200
    held.request("/slow?delay=1.5&size=100000")
    time.sleep(0.3)  # the request is with the backend
    start = time.monotonic()
    running.process.terminate()
    wait_for(lambda: not lab.answers("client", world.SITE4, 443), "no new connection is accepted", 3 * world.PATIENCE)
    answer = held.response()
    assert answer.status == 200 and len(answer.body) == 100_000
    assert idle.is_closed(), "an idle connection does not hold the end up"
    assert running.process.wait(20 * world.PATIENCE) == 0
    assert time.monotonic() - start < 6 * world.PATIENCE
    assert not running.socket.exists()
    held.close()
    idle.close()


def test_sigterm_is_bounded(lab, start_sluice, origins, www, certs, files):
    config = world.config(certs, files, drain="1s")
    running = start_sluice(config).start()
    running.wait_until_up("backend1", "backend2", "backend3")
    stuck = client.Connection(lab, world.SITE4, 80)
    stuck.request("/slow-body/1000")
    time.sleep(0.3)
    start = time.monotonic()
    running.process.terminate()
    assert running.process.wait(20 * world.PATIENCE) == 0
    assert time.monotonic() - start < 5 * world.PATIENCE, "drain is 1 s"
    stuck.close()


def test_sigint_stops_too(start_sluice, origins):
    running = start_sluice(world.layer4_config()).start()
    running.process.send_signal(2)
    assert running.process.wait(20 * world.PATIENCE) == 0


def test_restart_finds_its_place(lab, start_sluice, origins):
    """The same configuration, started again at once, and after a crash that left its socket behind."""
    for end in ("terminate", "kill", "terminate"):
        running = start_sluice(world.layer4_config()).start()
        running.wait_until_up("backend1", "backend2", "backend3")
        assert not [one for one in client.echo_many(lab, world.L4_4, world.ECHO_PORT, 50) if one.failure]
        getattr(running.process, end)()
        running.process.wait(20 * world.PATIENCE)


# ---- leaks ----


def test_counters_are_back_at_zero_after_load(lab, start_sluice, origins, www, certs, files):
    with start_sluice(world.config(certs, files)) as running:
        running.wait_until_up("backend1", "backend2", "backend3")
        client.echo_many(lab, world.L4_4, world.ECHO_PORT, 50)
        client.Connection(lab, world.SITE4, 443, context=certs.context()).close()

        def settled():
            status = running.ctl("status")
            proxies = status["proxies"]
            return (sum(worker["flows"] for worker in status["workers"]) == 0
                    and all(proxy["connections"] == 0 and proxy["upstream"]["idle"] == 0 for proxy in proxies) and status)

        before = wait_for(settled, f"at rest before the load: {running.ctl('status')}", 30 * world.PATIENCE)
        client.echo_many(lab, world.L4_4, world.ECHO_PORT, 3000)
        client.echo_many(lab, world.L4_6, world.ECHO_PORT, 500)
        for url in (f"https://{world.SITE4}/cached/1k.bin", f"https://{world.SITE4}/1k.bin", f"http://{world.SITE4}/hello"):
            lab.run("client", "wrk", "-c", "50", "-t", "1", "-d", "2", "-H", f"Host: {world.HOST}", url, timeout=60 * world.PATIENCE)
        lab.run("client", "ab", "-q", "-n", "500", "-c", "20", f"https://{world.SITE4}/hello", timeout=120)
        after = wait_for(settled, f"at rest after the load: {running.ctl('status')}", 60 * world.PATIENCE)
        # The rings of a driver hold buffers of their own, a few more or less at different times; a leak would be hundreds.
        assert abs(after["memory"]["mbufs_in_use"] - before["memory"]["mbufs_in_use"]) <= 256
        assert sum(worker["nat_ports_used"] for worker in after["workers"]) == 0
        assert all(row["active"] == 0 for row in running.ctl("services"))


def test_memory_does_not_grow_with_requests(lab, start_sluice, origins, www, certs, files):
    """Resident memory after the second of two equal loads is what it was after the first."""
    def resident_kb(pid: int) -> int:
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    with start_sluice(world.config(certs, files)) as running:
        running.wait_until_up("backend1", "backend2", "backend3")

        def load():
            for url in (f"https://{world.SITE4}/cached/1k.bin", f"https://{world.SITE4}/1k.bin"):
                lab.run("client", "wrk", "-c", "50", "-t", "1", "-d", "3", "-H", f"Host: {world.HOST}", url, timeout=60 * world.PATIENCE)
            lab.run("client", "ab", "-q", "-n", "300", "-c", "10", f"https://{world.SITE4}/hello", timeout=120)
            return resident_kb(running.process.pid)

        first = [load(), load()][1]
        second = load()
        assert second - first < 8 << 10, f"{second - first} KB more after the same load again"


# ---- more than one ----


def test_two_sluices_side_by_side(lab, folder, start_sluice, origins, www, certs, files):
    """Two labs on one machine, a sluice in each: neither notices the other, nor the end of the other."""
    other_lab = Lab(lab.prefix + "two-")
    other_lab.down()
    with other_lab:
        for name in BACKENDS:
            other_lab.start(name, "/usr/bin/python3", "-B", ROOT / "tests/e2e/origin.py", "other-" + name, "--http", world.HTTP_PORT,
                            "--echo", world.ECHO_PORT, stdout=subprocess.DEVNULL)
            wait_for(lambda name=name: other_lab.answers(name, "127.0.0.1", world.ECHO_PORT), "the other lab's origins")
        with start_sluice(world.layer4_config()) as one:
            with Sluice(other_lab, folder, world.layer4_config(), name="other") as two:
                one.wait_until_up("backend1", "backend2", "backend3")
                two.wait_until_up("backend1", "backend2", "backend3")
                seen = {}

                def load(which, where):
                    seen[which] = client.echo_many(where, world.L4_4, world.ECHO_PORT, 300)

                # One after the other: entering a namespace is a matter of the thread, and asyncio's of the main one.
                for which, where in (("one", lab), ("two", other_lab)):
                    thread = threading.Thread(target=load, args=(which, where))
                    thread.start()
                    thread.join()
                assert not [answer for answers in seen.values() for answer in answers if answer.failure]
                assert {answer.backend for answer in seen["one"]} == set(BACKENDS)
                assert {answer.backend for answer in seen["two"]} == {"other-" + name for name in BACKENDS}
            assert not [one for one in client.echo_many(lab, world.L4_4, world.ECHO_PORT, 100) if one.failure]
