"""The addresses, ports and the standard configuration of the end-to-end tests."""
import os
import ssl
from pathlib import Path

from sluicelab.lab import BACKEND4, BACKEND6, BACKENDS
from sluicelab.sluice import build_folder, interfaces

HTTP_PORT, ECHO_PORT, NGINX_PORT = 8080, 7000, 8090

SITE4, SITE6 = "203.0.113.10", "2001:db8:2::10"  # HTTPS :443, HTTP :80
L4_4, L4_6 = "203.0.113.80", "2001:db8:2::80"    # echo :7000 tcp and udp, HTTP :80

HOST, OTHER_HOST = "www.example.com", "shop.example.net"

# A sanitizer makes everything slower: what waits, waits longer.
SLOW = "san" in build_folder().name
PATIENCE = 5 if SLOW else 1

CPUS = sorted(os.sched_getaffinity(0))


class Certificates:
    """Two certificates of one authority: an ECDSA one for HOST, an RSA one for *.example.net."""

    def __init__(self, authority):
        self.authority = authority.cert
        self.www = authority.issue(HOST, "*.cdn.example.com")
        self.shop = authority.issue("*.example.net", rsa=True)

    def context(self, **limits) -> ssl.SSLContext:
        """What a client uses: trusts the authority; limits are minimum_version and the like."""
        context = ssl.create_default_context(cafile=str(self.authority))
        for name, value in limits.items():
            setattr(context, name, value)
        return context


def runtime(**changes) -> dict:
    last = CPUS[-1]
    return {"main": CPUS[0], "workers": [last], "proxies": [last], "memory": "512MiB", "hugepages": "off", "poll": "adaptive",
            "drain": "5s", **changes}


def backends(addresses: dict, port: int, weights=None) -> list:
    weights = weights or {}
    return [{"name": name, "address": addresses[name], "port": port, "weight": weights.get(name, 1)} for name in BACKENDS]


HTTP_CHECK = {"http": {"method": "HEAD", "path": "/", "host": "health.example"}, "interval": "200ms", "timeout": "150ms", "fall": 2,
              "rise": 2}
TCP_CHECK = {"tcp": {}, "interval": "200ms", "timeout": "150ms", "fall": 2, "rise": 2}
if SLOW:
    for check in (HTTP_CHECK, TCP_CHECK):
        check.update(interval="1s", timeout="900ms")

# Flows and connections go away soon, so that a test can see them gone.
SHORT_FLOWS = {"closing": "1s", "udp": "3s"}
KEEPALIVE = {"idle": 32, "timeout": "5s"}


def pools(weights=None) -> dict:
    return {
        "echo4": {"backends": backends(BACKEND4, ECHO_PORT, weights), "health": TCP_CHECK},
        "echo6": {"backends": backends(BACKEND6, ECHO_PORT, weights), "health": TCP_CHECK},
        "http4": {"balance": "round_robin", "backends": backends(BACKEND4, HTTP_PORT), "health": HTTP_CHECK,
                  "keepalive": KEEPALIVE, "timeouts": {"connect": "1s", "response": "3s"}},
        "http6": {"balance": "round_robin", "backends": backends(BACKEND6, HTTP_PORT), "health": HTTP_CHECK, "keepalive": KEEPALIVE},
        "www": {"balance": "round_robin", "backends": backends(BACKEND4, NGINX_PORT), "health": HTTP_CHECK,
                "keepalive": KEEPALIVE},
        "nobody": {"backends": [{"name": "nobody", "address": BACKEND4["backend1"], "port": 9}], "health": TCP_CHECK},
        "dead": {"backends": [{"name": "dead", "address": BACKEND4["backend1"], "port": 9}]},
    }


def layer4() -> dict:
    return {
        "echo4": {"listen": [f"{L4_4}:7000/tcp", f"{L4_4}:7000/udp"],
                  "forward": {"mode": "nat", "pool": "echo4", "timeouts": SHORT_FLOWS}},
        "echo6": {"listen": [f"[{L4_6}]:7000/tcp", f"[{L4_6}]:7000/udp"],
                  "forward": {"mode": "nat", "pool": "echo6", "timeouts": SHORT_FLOWS}},
        "web4": {"listen": f"{L4_4}:80/tcp", "forward": {"mode": "nat", "pool": "http4", "timeouts": SHORT_FLOWS}},
        "nobody": {"listen": [f"{L4_4}:9/tcp", f"{L4_4}:9/udp"], "forward": {"mode": "nat", "pool": "nobody"}},
    }


def routes(files: Path) -> list:
    return [
        {"match": {"path": "/static/"}, "static": {"alias": f"{files}/", "expires": "30d", "headers": {"Cache-Control": "public"}}},
        {"match": {"host": OTHER_HOST}, "respond": {"status": 200, "body": "the other host\n"}},
        {"match": {"path": "/api/"}, "pool": "http4",
         "request_headers": {"set": {"X-Real-IP": "${client.address}", "X-From": "sluice"}, "remove": "X-Secret"},
         "response_headers": {"set": {"X-Added": "yes"}, "remove": "X-Count"}},
        {"match": {"path": "/cache/"}, "pool": "http4", "cache": {}},
        {"match": {"path": "/cached/"}, "pool": "www", "cache": {}},
        {"match": {"path": "/1k.bin"}, "pool": "www"},
        {"match": {"path": "/100m.bin"}, "pool": "www"},
        {"match": {"path": "/v6/"}, "pool": "http6"},
        {"match": {"path": "/nobody/"}, "pool": "nobody"},
        {"match": {"path": "/dead/"}, "pool": "dead"},
        {"match": {"path": "/moved/"}, "redirect": {"status": 308, "location": "https://${request.host}${request.target}"}},
        {"pool": "http4"},
    ]


LIMITS = {"header_size": "8KiB", "uri_size": "2KiB", "body_size": "200MiB", "header_timeout": "1s", "body_timeout": "2s",
          "idle_timeout": "5s", "requests": 1000000}


def layer7(certs: Certificates, files: Path, **tls) -> dict:
    pairs = [{"cert": str(cert), "key": str(key)} for cert, key in (certs.www, certs.shop)]
    return {
        "site": {"listen": [f"{SITE4}:443", f"[{SITE6}]:443"],
                 "proxy": {"tls": {"certificates": pairs, **tls}, "routes": routes(files), "limits": LIMITS}},
        "plain": {"listen": [f"{SITE4}:80", f"[{SITE6}]:80"], "proxy": {"routes": routes(files), "limits": LIMITS}},
    }


def config(certs: Certificates, files: Path, driver: str = "af_xdp", queues: int = 1, **run) -> dict:
    """Everything at once."""
    return {
        "runtime": runtime(**run),
        "interfaces": interfaces(driver, queues),
        "pools": pools(),
        "services": {**layer4(), **layer7(certs, files)},
        "cache": {"memory": "64MiB", "object_limit": "1MiB"},
    }


def layer4_config(driver: str = "af_xdp", queues: int = 1, weights=None, **run) -> dict:
    """Layer 4 alone. The checks need a proxy role, which every configuration gets."""
    names = ("echo4", "echo6", "http4", "nobody")
    return {"runtime": runtime(**run), "interfaces": interfaces(driver, queues),
            "pools": {name: pool for name, pool in pools(weights).items() if name in names}, "services": layer4()}
