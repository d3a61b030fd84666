"""sluicectl: tables for people, JSON for scripts, both of the same things."""
import subprocess

import pytest

import client
import world
from sluicelab.lab import BACKENDS
from sluicelab.sluice import build_folder

COMMANDS = ["status", "services", "backends", "flows", "drops", "interfaces"]


@pytest.fixture(scope="module", autouse=True)
def traffic(lab, sluice, certs):
    client.echo_many(lab, world.L4_4, world.ECHO_PORT, 20)
    with client.Connection(lab, world.SITE4, 443, context=certs.context()) as connection:
        for path in ("/hello", "/cached/1k.bin", "/cached/1k.bin", "/static/hello.txt", "/static/none"):
            connection.get(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_tables_and_json(sluice, command):
    assert sluice.ctl(command) is not None
    table = sluice.table(command)
    assert table.strip() and "{" not in table


def test_status(sluice):
    status = sluice.ctl("status")
    assert status["pid"] == sluice.process.pid and status["version"]
    assert status["memory"]["mbufs"] > status["memory"]["mbufs_in_use"] >= 0
    worker, proxy = status["workers"][0], status["proxies"][0]
    assert worker["rx_packets"] > 100 and worker["tx_packets"] > 100 and worker["rx_bytes"] > worker["rx_packets"] * 40
    assert worker["flows_created"] >= 20
    assert proxy["requests"] >= 5 and proxy["responses"]["2xx"] >= 4 and proxy["responses"]["4xx"] >= 1
    assert proxy["cache"]["hits"] >= 1 and proxy["cache"]["misses"] >= 1
    assert proxy["tls"]["handshakes"] >= 1


def test_crypto_in_use_is_ipsec_mb(sluice):
    assert sluice.ctl("status")["proxies"][0]["tls"]["crypto"].startswith("ipsec-mb ")


def test_services(sluice):
    rows = {row["service"]: row for row in sluice.ctl("services")}
    assert set(rows) == {"echo4", "echo6", "web4", "nobody", "site", "plain"}
    assert rows["echo4"]["opened"] >= 20 and rows["echo4"]["packets_in"] > 0
    assert rows["site"]["opened"] >= 1


def test_backends(sluice):
    rows = [row for row in sluice.ctl("backends") if row["pool"] == "echo4"]
    assert [row["backend"] for row in rows] == list(BACKENDS)
    assert all(row["state"] == "up" and row["weight"] == 1 for row in rows)
    assert sum(row["opened"] for row in rows) >= 20


def test_interfaces(sluice):
    rows = {row["interface"]: row for row in sluice.ctl("interfaces")}
    assert set(rows) == {"edge", "inside"}
    assert rows["edge"]["mac"] == "02:00:c0:00:02:02" and rows["edge"]["mtu"] == 1500
    assert all(row["rx_packets"] > 0 and row["tx_packets"] > 0 for row in rows.values())


def test_drops_have_help(sluice):
    rows = sluice.ctl("drops")
    assert len(rows) > 10 and all(row["reason"] and row["help"] for row in rows), "every reason is in the JSON"


def test_nobody_there(folder):
    result = subprocess.run([build_folder() / "sluicectl", "--socket", folder / "nobody.sock", "status"], capture_output=True, text=True)
    assert result.returncode == 1 and "nobody.sock" in result.stderr
