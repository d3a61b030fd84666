"""VLANs of real hosts: clients on a VLAN of `edge`, backends on a VLAN and on a VLAN inside another one of `inside`. net_af_packet takes
tags off and puts them on, as a NIC does; over the other drivers both are sluice's work."""
import contextlib
import hashlib
import sys
from pathlib import Path

import pytest

import client
import world
from sluicelab.lab import BACKENDS, end_process, wait_for
from test_l4 import udp_ask

CLIENTS, WEB, TENANT = 100, 20, (30, 7)  # identifiers; the last is QinQ
TENANT_MTU = 1400  # of virtual devices some carry one tag beyond their MTU, and not two

# Addresses: of the client and of sluice on their VLAN; of sluice's two VLANs of backends, and what the backends' ones begin with.
CLIENT4, EDGE4, CLIENT6, EDGE6 = "192.0.2.193", "192.0.2.194", "2001:db8:a::1", "2001:db8:a::2"
INSIDE_WEB, INSIDE_TENANT, INSIDE_TENANT6 = "192.0.2.225", "192.0.2.241", "2001:db8:b::1"
FIRST_WEB, FIRST_TENANT, FIRST_TENANT6 = "192.0.2.22", "192.0.2.24", "2001:db8:b::1"
SERVICE4, SERVICE6, SITE = "203.0.113.81", "2001:db8:2::81", "203.0.113.82"
BYTES = 1_000_000


def add_host(lab, name: str, device: str, link: str, mtu: int, *addresses: str):
    """An interface `device` of the host, whose other end is `link` of the switch."""
    lab.run("switch", "ip", "link", "add", link, "mtu", 1508, "type", "veth", "peer", "name", device, "netns", lab.prefix + name, "mtu", mtu)
    for end, interface in (("switch", link), (name, device)):
        lab.run(end, "ethtool", "-K", interface, *"tx off rx off sg off tso off gso off gro off".split())
        lab.run(end, "ip", "link", "set", interface, "up")
    for address in addresses:
        lab.run(name, "ip", "address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))


@contextlib.contextmanager
def hosts(lab, tags_in_frames: bool):
    """`tags_in_frames`: veth carries a tag beside the frame, where XDP does not see it, unless it is told not to."""
    def set_tags(beside: str):
        for port in ("edge", "inside"):
            lab.run("switch", "ethtool", "-K", port, "tx-vlan-hw-insert", beside, "tx-vlan-stag-hw-insert", beside)

    links, vlans = [], []
    try:
        for bridge in ("edge", "inside"):
            links += [("switch", f"trunk-{bridge}")]
            lab.run("switch", "ip", "link", "add", f"to-{bridge}", "mtu", 1508, "master", f"br-{bridge}", "type", "veth", "peer", "name",
                    f"trunk-{bridge}", "mtu", 1508)
            for link in (f"to-{bridge}", f"trunk-{bridge}"):
                lab.run("switch", "ip", "link", "set", link, "up")
        links += [("client", "vlan")]
        add_host(lab, "client", "vlan", "v-client", 1500, f"{CLIENT4}/27", f"{CLIENT6}/64")
        vlans += [f"v-client:trunk-edge:{CLIENTS}"]
        for service, via in ((SERVICE4, EDGE4), (SITE, EDGE4), (SERVICE6, EDGE6)):
            lab.run("client", "ip", "route", "add", service, "via", via, "dev", "vlan")
        for number, name in enumerate(BACKENDS, 6):
            links += [(name, "web"), (name, "tenant")]
            add_host(lab, name, "web", f"w{number}", 1500, f"{FIRST_WEB}{number}/28")
            add_host(lab, name, "tenant", f"t{number}", TENANT_MTU, f"{FIRST_TENANT}{number}/28", f"{FIRST_TENANT6}{number}/64")
            vlans += [f"w{number}:trunk-inside:{WEB}", f"t{number}:trunk-inside:{TENANT[0]}:{TENANT[1]}"]
        set_tags("off" if tags_in_frames else "on")
        tagger = lab.start("switch", sys.executable, "-B", Path(__file__).with_name("tagger.py"), *vlans)
        yield
        end_process(tagger)
    finally:
        set_tags("on")
        for name, device in links:
            lab.run(name, "ip", "link", "del", device, check=False)


def config(driver: str, certs) -> dict:
    base = world.layer4_config(driver)
    base["interfaces"] |= {
        "clients": {"parent": "edge", "vlan": CLIENTS, "addresses": [f"{EDGE4}/27", f"{EDGE6}/64"]},
        "web": {"parent": "inside", "vlan": WEB, "addresses": f"{INSIDE_WEB}/28"},
        "tenant": {"parent": "inside", "vlan": list(TENANT), "mtu": TENANT_MTU, "addresses": [f"{INSIDE_TENANT}/28", f"{INSIDE_TENANT6}/64"]},
    }

    def pool(first: str, port: int) -> dict:
        return {"backends": [{"name": name, "address": f"{first}{number}", "port": port} for number, name in enumerate(BACKENDS, 6)],
                "health": world.TCP_CHECK}

    base["pools"] = {"web": pool(FIRST_WEB, world.HTTP_PORT), "tenant": pool(FIRST_TENANT, world.ECHO_PORT),
                     "tenant6": pool(FIRST_TENANT6, world.ECHO_PORT)}
    base["services"] = {
        "web": {"listen": f"{SERVICE4}:80/tcp", "forward": {"mode": "nat", "pool": "web"}},
        "tenant": {"listen": [f"{SERVICE4}:7000/tcp", f"{SERVICE4}:7000/udp"], "forward": {"mode": "nat", "pool": "tenant"}},
        "tenant6": {"listen": [f"[{SERVICE6}]:7000/tcp", f"[{SERVICE6}]:7000/udp"], "forward": {"mode": "nat", "pool": "tenant6"}},
        "site": {"listen": f"{SITE}:80", "proxy": {"routes": [{"pool": "web"}]}},
    }
    return base


@pytest.mark.parametrize("driver", ["af_packet", "af_xdp", "pcap"])
def test_hosts_on_vlans(lab, start_sluice, origins, certs, driver):
    origins.restore()
    with hosts(lab, tags_in_frames=driver == "af_xdp"), start_sluice(config(driver, certs)) as running:
        running.wait_until_up(*BACKENDS)
        offloads = {row["interface"]: row["offloads"] for row in running.ctl("interfaces")}
        assert offloads["edge"] == offloads["inside"] == (["vlan_strip", "vlan_insert"] if driver == "af_packet" else [])
        with client.Connection(lab, "127.0.0.1", world.HTTP_PORT, namespace="backend1") as direct:
            body = hashlib.sha256(direct.get(f"/bytes/{BYTES}").body).digest()
        for address in (SERVICE4, SITE):  # layer 4, and a proxy: a tag on either side
            with client.Connection(lab, address, 80) as connection:
                assert hashlib.sha256(connection.get(f"/bytes/{BYTES}").body).digest() == body
        for address in (SERVICE4, SERVICE6):  # two tags towards the backends
            seen = client.echo_many(lab, address, world.ECHO_PORT, 200, at_once=20)
            assert not [one.failure for one in seen if one.failure]
            assert {one.backend for one in seen} == set(BACKENDS)
            assert udp_ask(lab, address, world.ECHO_PORT, b"x" * 1300).split()[0] in BACKENDS
        assert " 0% packet loss" in lab.run("client", "ping", "-c", 3, "-i", 0.2, "-s", 1472, "-M", "do", EDGE4).stdout
        assert "vlan_unknown" not in running.drops()


@pytest.mark.parametrize("driver", ["af_packet", "af_xdp"])
def test_tags_of_nobody(lab, start_sluice, driver):
    """Whoever takes the tag off: on a device with VLANs and on one without, the frame of another VLAN is dropped for it."""
    with hosts(lab, tags_in_frames=driver == "af_xdp"):
        for port, interface in (("with VLANs", {"clients": {"parent": "edge", "vlan": 99, "addresses": f"{EDGE4}/27"}}), ("without any", {})):
            base = world.layer4_config(driver)
            base["pools"], base["services"] = {}, {}
            base["interfaces"] |= interface
            with start_sluice(base) as running:
                lab.run("client", "ip", "neighbor", "flush", "dev", "vlan")
                lab.run("client", "ping", "-c", 1, "-W", 1, EDGE4, check=False)
                wait_for(lambda: running.drops().get("vlan_unknown", 0) > 0, f"frames are dropped on a device {port}", 5)
