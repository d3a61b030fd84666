"""The cache: what RFC 9111 lets it keep, and what it says about it (RFC 9211). Each test has paths of its own."""
import threading
import time
import uuid
from urllib.parse import quote

import pytest



def url(*headers: str, **options: str) -> str:
    """A path under /cache/ that nobody asked for before; the origin answers with these headers."""
    query = [f"h={quote(header)}" for header in headers] + [f"{name}={quote(value)}" for name, value in options.items()]
    return f"/cache/{uuid.uuid4().hex}?" + "&".join(query)


def is_hit(answer) -> bool:
    """Cache-Status: sluice; hit ... or sluice; fwd=..."""
    status = answer.get("Cache-Status")
    assert status, "an answer of a route with a cache has Cache-Status"
    hit = "; hit" in status
    assert hit != ("fwd=" in status), status
    return hit


def test_miss_then_hit_with_age(connect, sluice, origins):
    path = url("Cache-Control: max-age=60")
    connection = connect(tls=True)
    first = connection.get(path)
    assert first.status == 200 and not is_hit(first) and "fwd=uri-miss" in first.get("Cache-Status")
    second = connection.get(path)
    assert second.status == 200 and is_hit(second)
    assert second.body == first.body
    assert 0 <= int(second.get("Age")) < 30
    assert second.get("X-Count") == "1"
    assert origins.count(path.split("?")[0]) == 1


def test_age_grows_and_freshness_ends(connect, sluice):
    path = url("Cache-Control: max-age=4")
    connection = connect()
    connection.get(path)
    time.sleep(1.2)  # age is the thing under test
    answer = connection.get(path)
    assert is_hit(answer) and int(answer.get("Age")) >= 1
    time.sleep(3.5)
    answer = connection.get(path)
    assert not is_hit(answer) and "fwd=stale" in answer.get("Cache-Status")


@pytest.mark.parametrize("header", ["Cache-Control: no-store", "Cache-Control: private", "Cache-Control: private, max-age=60",
                                    "Cache-Control: no-cache", "Cache-Control: max-age=0", "Cache-Control: s-maxage=0, max-age=60",
                                    "X-None: x"],
                         ids=lambda header: header.split(": ")[1].replace(" ", ""))
def test_not_stored_or_not_reused(connect, sluice, origins, header):
    path = url(header)
    connection = connect()
    for _ in range(3):
        assert not is_hit(connection.get(path))
    assert origins.count(path.split("?")[0]) == 3


def test_s_maxage_wins_over_max_age(connect, sluice):
    path = url("Cache-Control: max-age=0, s-maxage=60")
    connection = connect()
    connection.get(path)
    assert is_hit(connection.get(path))


def test_set_cookie_does_not_leak_between_users(connect, sluice):
    """The origin decides; but an answer to a request with credentials is not shared unless it says public."""
    path = url("Cache-Control: max-age=60")
    connection = connect()
    assert not is_hit(connection.get(path, headers={"Authorization": "Basic eDp5"}))
    assert not is_hit(connection.get(path))
    assert is_hit(connection.get(path))


def test_vary(connect, sluice, origins):
    path = url("Cache-Control: max-age=60", "Vary: Accept-Language")
    connection = connect()
    for language in ("de", "en"):
        assert not is_hit(connection.get(path, headers={"Accept-Language": language}))
    for language in ("de", "en"):
        assert is_hit(connection.get(path, headers={"Accept-Language": language}))
    assert not is_hit(connection.get(path))
    assert origins.count(path.split("?")[0]) == 3


def test_vary_star_is_never_reused(connect, sluice):
    path = url("Cache-Control: max-age=60", "Vary: *")
    connection = connect()
    connection.get(path)
    assert not is_hit(connection.get(path))


def test_revalidation_by_etag(connect, sluice, origins):
    path = url("Cache-Control: max-age=1", etag="v1", size="5000")
    connection = connect()
    first = connection.get(path)
    time.sleep(2.1)
    again = connection.get(path)
    assert again.status == 200 and again.body == first.body
    assert "fwd=stale" in again.get("Cache-Status") and "fwd-status=304" in again.get("Cache-Status")
    assert is_hit(connection.get(path)), "fresh again"
    assert origins.count(path.split("?")[0]) == 2


def test_conditional_requests_are_answered_from_the_cache(connect, sluice, origins):
    path = url("Cache-Control: max-age=60", etag="v1")
    connection = connect()
    connection.get(path)
    answer = connection.get(path, headers={"If-None-Match": '"v1"'})
    assert answer.status == 304 and answer.get("ETag") == '"v1"' and answer.body == b""
    assert connection.get(path, headers={"If-None-Match": '"v2"'}).status == 200
    assert origins.count(path.split("?")[0]) == 1


def test_head_is_answered_from_a_stored_get(connect, sluice):
    path = url("Cache-Control: max-age=60", size="1000")
    connection = connect()
    connection.get(path)
    answer = connection.get(path, method="HEAD")
    assert is_hit(answer) and answer.get("Content-Length") == "1000"
    assert connection.get(path).status == 200


def test_post_is_passed_on_and_invalidates(connect, sluice, origins):
    path = url("Cache-Control: max-age=60")
    connection = connect()
    connection.get(path)
    assert is_hit(connection.get(path))
    assert connection.get(path, method="POST", body=b"x").status == 200
    assert not is_hit(connection.get(path)), "RFC 9111 section 4.4"
    assert origins.count(path.split("?")[0]) == 3


@pytest.mark.parametrize("header", ["Cache-Control: no-cache", "Cache-Control: max-age=0"])
def test_client_does_not_force_a_fetch(connect, sluice, header):
    path = url("Cache-Control: max-age=60")
    connection = connect()
    connection.get(path)
    name, value = header.split(": ")
    assert is_hit(connection.get(path, headers={name: value})), "client_control: ignore is the default"


def test_only_if_cached(connect, sluice):
    assert connect().get(url("Cache-Control: max-age=60"), headers={"Cache-Control": "only-if-cached"}).status == 504


def test_errors_are_not_kept_without_being_allowed(connect, sluice, origins):
    path = url(status="500")
    connection = connect()
    for _ in range(2):
        assert connection.get(path).status == 500
    assert origins.count(path.split("?")[0]) == 2
    path = url("Cache-Control: max-age=60", status="404")
    connection.get(path)
    answer = connection.get(path)
    assert answer.status == 404 and is_hit(answer)


@pytest.mark.parametrize("options", [{"size": "300000"}, {"size": "300000", "chunked": "1"}, {"size": "0"}], ids=["length", "chunked", "empty"])
def test_bodies_come_back_whole(connect, sluice, options):
    path = url("Cache-Control: max-age=60", **options)
    connection = connect(tls=True)
    first = connection.get(path)
    second = connection.get(path)
    assert is_hit(second) and second.body == first.body and len(first.body) == int(options["size"])


def test_too_large_is_passed_through(connect, sluice):
    path = url("Cache-Control: max-age=60", size="2000000")
    connection = connect()
    for _ in range(2):
        answer = connection.get(path)
        assert len(answer.body) == 2_000_000 and not is_hit(answer), "object_limit is 1 MiB"


def test_one_fetch_for_many_who_wait(connect, sluice, origins):
    path = url("Cache-Control: max-age=60", delay="1", size="10000")
    answers = []
    connections = [connect() for _ in range(20)]
    threads = [threading.Thread(target=lambda one=one: answers.append(one.get(path))) for one in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200] * 20
    assert {len(answer.body) for answer in answers} == {10000}
    assert origins.count(path.split("?")[0]) == 1


def test_budget_is_kept(connect, sluice):
    connection = connect()
    for _ in range(90):
        assert connection.get(url("Cache-Control: max-age=600", size="900000")).status == 200
    cache = sluice.ctl("status")["cache"]
    assert cache["budget_bytes"] == 64 << 20
    assert 0 < cache["bytes"] <= cache["budget_bytes"]
    assert cache["evictions"] > 0


def test_counters(connect, sluice):
    def totals():
        proxies = sluice.ctl("status")["proxies"]
        return tuple(sum(proxy["cache"][name] for proxy in proxies) for name in ("hits", "misses"))

    before = totals()
    path = url("Cache-Control: max-age=60")
    connection = connect()
    for _ in range(5):
        connection.get(path)
    after = totals()
    assert (after[0] - before[0], after[1] - before[1]) == (4, 1)
