"""The DPDK drivers, with and without hugepages."""
import contextlib
import socket
import subprocess
from pathlib import Path

import pytest

import client
import world
from sluicelab.lab import wait_for
from sluicelab.sluice import interfaces


def use_everything(lab, running, certs):
    """A little of each kind of traffic."""
    running.wait_until_up("backend1", "backend2", "backend3")
    for address in (world.L4_4, world.L4_6):
        seen = client.echo_many(lab, address, world.ECHO_PORT, 100, at_once=20)
        assert not [one.failure for one in seen if one.failure]
    for address in (world.SITE4, world.SITE6):
        with client.Connection(lab, address, 443, context=certs.context()) as connection:
            assert connection.get("/hello").status == 200
            assert len(connection.get("/bytes/1000000").body) == 1_000_000
            assert connection.get("/static/hello.txt").body == b"hello from a file\n"


@pytest.mark.parametrize("driver", ["af_xdp", "af_packet", "pcap"])
@pytest.mark.parametrize("poll", ["adaptive", "busy"])
def test_software_drivers(lab, start_sluice, origins, www, certs, files, driver, poll):
    with start_sluice(world.config(certs, files, driver, poll=poll)) as running:
        use_everything(lab, running, certs)
        rows = {row["interface"]: row for row in running.ctl("interfaces")}
        assert rows["edge"]["driver"] == f"net_{driver}"


@pytest.mark.parametrize("driver", ["af_xdp", "af_packet", "pcap"])
def test_frames_of_any_type_and_length_are_counted(lab, start_sluice, driver):
    """None is filtered or padded away before sluice: what it does not understand, it counts."""
    own, other = bytes.fromhex("0200c0000202"), bytes.fromhex("0200c0000201")
    frames = [own + other + ether_type + bytes(length)
              for ether_type in (b"\x88\xb5", b"\x90\x00", b"\x08\x44", b"\x00\x20", b"\xff\xff") for length in (0, 1, 46, 1000)]
    with start_sluice(world.layer4_config(driver)) as running:
        with lab.make_socket("client", socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("eth0", 0))
            for frame in frames:
                wire.send(frame)
        wait_for(lambda: running.drops().get("ether_type_unknown", 0) >= len(frames),
                 f"{len(frames)} frames of unknown types are counted", 5 * world.PATIENCE)


def test_two_interfaces_of_different_drivers(lab, start_sluice, origins, www, certs, files):
    config = world.config(certs, files, "af_xdp")
    config["interfaces"]["inside"]["device"] = interfaces("af_packet")["inside"]["device"]
    with start_sluice(config) as running:
        use_everything(lab, running, certs)


def test_checksums_by_the_device(lab, start_sluice, origins, www, certs, files):
    """net_tap judges the checksums of what it receives and completes those that the proxies leave to it, as NICs do."""
    config = world.config(certs, files)
    for number, name in enumerate(("edge", "inside")):
        config["interfaces"][name]["device"] = f"net_tap{number},iface=tap-{name}"
    with start_sluice(config) as running:
        rows = {row["interface"]: row for row in running.ctl("interfaces")}
        assert rows["edge"]["offloads"] == rows["inside"]["offloads"] == ["rx_checksum", "tx_checksum"]
        try:
            for name in ("edge", "inside"):
                lab.run("sluice", "ip", "link", "add", f"br-{name}", "type", "bridge", "stp_state", 0, "mcast_snooping", 0)
                # A bridge keeps what is for the address of a port, and this one is sluice's.
                lab.run("sluice", "ip", "link", "set", f"tap-{name}", "address", f"02:00:00:00:00:0{len(name)}")
                for port in (name, f"tap-{name}"):
                    lab.run("sluice", "ip", "link", "set", port, "master", f"br-{name}", "up")
                lab.run("sluice", "ip", "link", "set", f"br-{name}", "up")
            use_everything(lab, running, certs)
        finally:
            for name in ("edge", "inside"):
                lab.run("sluice", "ip", "link", "del", f"br-{name}", check=False)


def test_null_driver_counts_what_it_drops(lab, start_sluice):
    """net_null delivers packets of zeros, and sluice drops them for a reason."""
    config = world.layer4_config()
    config["interfaces"] = {"edge": {"device": "net_null0,size=64", "addresses": ["192.0.2.2/25"]}}
    config["pools"], config["services"] = {}, {}
    with start_sluice(config) as running:
        wait_for(lambda: sum(running.drops().values()) > 100_000, "zeros are dropped", 10 * world.PATIENCE)
        status = running.ctl("status")
        assert sum(worker["drops"] for worker in status["workers"]) > 100_000


@contextlib.contextmanager
def hugepages(count: int, folder: Path):
    """Reserves pages of 2 MB and mounts them; afterwards the machine is as it was."""
    setting = Path("/proc/sys/vm/nr_hugepages")
    before = setting.read_text().strip()
    mount = folder / "huge"
    mount.mkdir(exist_ok=True)
    setting.write_text(str(int(before) + count))
    subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", mount], check=True)
    try:
        yield int(setting.read_text()) - int(before)
    finally:
        subprocess.run(["umount", mount], check=True)
        setting.write_text(before)


def test_hugepages(lab, folder, start_sluice, origins, www, certs, files):
    with hugepages(256, folder) as got:
        assert got == 256, "the machine has not enough free memory in one piece for 512 MB of hugepages"
        with start_sluice(world.config(certs, files, hugepages="required", memory="384MiB")) as running:
            use_everything(lab, running, certs)


def test_more_hugepages_than_there_are(lab, folder, start_sluice):
    running = start_sluice(world.layer4_config(hugepages="required", memory="512GiB"))
    with pytest.raises(Exception) as failure:
        running.start()
    assert "hugepages" in str(failure.value).lower()
