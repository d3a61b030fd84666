"""Health checks take backends out and bring them back, and a crash fails only what was on the backend that crashed."""
import collections
import time

import client
import world
from sluicelab.lab import BACKENDS, wait_for


def states(sluice, pool: str) -> dict[str, bool]:
    """Which backends of a pool are up."""
    return {row["backend"]: row["up"] for row in sluice.ctl("backends") if row["pool"] == pool}


def test_unreachable_backend_is_down_from_the_start(sluice):
    assert states(sluice, "nobody") == {"nobody": False}
    assert states(sluice, "dead") == {"dead": True}, "without `health` a backend counts as up"


def test_a_crash_fails_only_what_was_there(lab, sluice, origins):
    held = [lab.connect("client", world.L4_4, world.ECHO_PORT) for _ in range(90)]
    try:
        owner = {sock: sock.recv(200).decode().split()[0] for sock in held}
        assert set(owner.values()) == set(BACKENDS)
        origins.kill("backend2")
        wait_for(lambda: states(sluice, "echo4")["backend2"] is False, "backend2 is seen to be down", 10 * world.PATIENCE)
        for sock, name in owner.items():
            if name == "backend2":
                continue
            sock.sendall(b"still there\n")
            assert sock.recv(200).decode().startswith(name + " "), f"a connection to {name} suffered from the death of backend2"
        for sock in (sock for sock, name in owner.items() if name == "backend2"):
            sock.settimeout(5)
            try:
                assert sock.recv(100) == b"", "a dead backend speaks"
            except ConnectionError:
                pass
        seen = client.echo_many(lab, world.L4_4, world.ECHO_PORT, 1000)
        assert not collections.Counter(one.failure for one in seen if one.failure), "new connections go to a backend that is down"
        assert {one.backend for one in seen} == {"backend1", "backend3"}
    finally:
        for sock in held:
            sock.close()
        origins.restore()
    wait_for(lambda: states(sluice, "echo4")["backend2"], "backend2 is back", 10 * world.PATIENCE)
    seen = client.echo_many(lab, world.L4_4, world.ECHO_PORT, 300)
    assert {one.backend for one in seen} == set(BACKENDS)


def test_layer7_goes_round_a_dead_backend(lab, sluice, origins, connect):
    origins.kill("backend3")
    try:
        # Before the checks have seen it: a request that finds no connection is sent to another backend.
        answers = [connect().get("/hello") for _ in range(12)]
        assert {answer.status for answer in answers} == {200}
        wait_for(lambda: states(sluice, "http4")["backend3"] is False, "backend3 is down", 10 * world.PATIENCE)
        connection = connect()
        by = collections.Counter(connection.get("/hello").get("X-Backend") for _ in range(20))
        assert set(by) == {"backend1", "backend2"}
    finally:
        origins.restore()
    wait_for(lambda: states(sluice, "http4")["backend3"], "backend3 is back", 10 * world.PATIENCE)


def test_checks_look_like_haproxys(sluice, origins):
    """HEAD / over HTTP/1.0 with the configured Host: every origin sees them, all the time."""
    before = origins.count("/")
    time.sleep(1.0)  # five intervals: the thing under test is that time passes
    assert origins.count("/") > before


def test_no_backend_is_503_and_dead_one_502(connect):
    answer = connect().get("/nobody/x")
    assert answer.status == 503 and 0 < len(answer.body) < 1000
    answer = connect().get("/dead/x")
    assert answer.status in {502, 503, 504} and 0 < len(answer.body) < 1000
