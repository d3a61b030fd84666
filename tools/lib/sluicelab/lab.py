"""The lab (tools/lab) from Python: its addresses, commands and sockets inside its namespaces."""
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import ROOT

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

# The addresses that tools/lab describes.
CLIENT4, CLIENT6 = "192.0.2.1", "2001:db8:1::1"
EDGE4, EDGE6 = "192.0.2.2", "2001:db8:1::2"
INSIDE4, INSIDE6 = "198.51.100.2", "2001:db8:3::2"
BACKENDS = ("backend1", "backend2", "backend3")
BACKEND4 = {name: f"198.51.100.{10 + number}" for number, name in enumerate(BACKENDS, 1)}
BACKEND6 = {name: f"2001:db8:3::{10 + number}" for number, name in enumerate(BACKENDS, 1)}
PEER4, PEER_INSIDE4 = "192.0.2.130", "198.51.100.3"


class LabError(Exception):
    """Something of the lab did not work; the text says what."""


def end_process(process: subprocess.Popen, patience: float = 5.0) -> int:
    """SIGTERM, and SIGKILL to one that does not listen. Returns its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def wait_for(condition, what: str, timeout: float = 10.0, interval: float = 0.02):
    """Polls until condition() returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"gave up after {timeout:g} s: {what}")
        time.sleep(interval)


class Lab:
    """One set of namespaces. `with Lab("sluice-"):` builds it and takes it down again."""

    def __init__(self, prefix: str, *options: str):
        self.prefix = prefix
        self.options = options
        self._processes: list[subprocess.Popen] = []

    def _tool(self, *arguments: str, quiet: bool = True):
        result = subprocess.run([ROOT / "tools/lab", *arguments], env={**os.environ, "SLUICE_LAB": self.prefix},
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if quiet else None,
                                stderr=subprocess.STDOUT if quiet else None, text=True)
        if result.returncode != 0:
            raise LabError(f"tools/lab {' '.join(arguments)}: {result.stdout or 'failed'}")

    def up(self, quiet: bool = True):
        self._tool("up", *self.options, quiet=quiet)

    def down(self, quiet: bool = True):
        for process in reversed(self._processes):
            end_process(process)
        self._processes.clear()
        self._tool("down", quiet=quiet)

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.down()

    def loss(self, percent: float):
        self._tool("loss", str(percent))

    def exists(self) -> bool:
        return Path(f"/run/netns/{self.prefix}client").exists()

    def argv(self, name: str, command) -> list[str]:
        return ["ip", "netns", "exec", self.prefix + name, *map(str, command)]

    def run(self, name: str, *command, timeout: float = 60, check: bool = True, **options) -> subprocess.CompletedProcess:
        """Runs a command to its end in the namespace; its output is captured as text."""
        options.setdefault("text", True)
        result = subprocess.run(self.argv(name, command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=timeout, **options)
        if check and result.returncode != 0:
            raise LabError(f"{' '.join(map(str, command))} in {name}: exit code {result.returncode}\n{result.stdout}\n{result.stderr}")
        return result

    def start(self, name: str, *command, **options) -> subprocess.Popen:
        """Starts a command in the namespace; down() ends it if nobody did."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("start_new_session", True)  # a Ctrl-C in the terminal is for us, who then end it in order
        process = subprocess.Popen(self.argv(name, command), **options)
        self._processes.append(process)
        return process

    @contextlib.contextmanager
    def inside(self, name: str):
        """The calling thread is in the namespace; a socket that is made there stays there."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.prefix}{name}", "rb") as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def make_socket(self, name: str, family=socket.AF_INET, kind=socket.SOCK_STREAM) -> socket.socket:
        with self.inside(name):
            return socket.socket(family, kind)

    def connect(self, name: str, address: str, port: int, timeout: float = 5.0) -> socket.socket:
        connection = self.make_socket(name, socket.AF_INET6 if ":" in address else socket.AF_INET)
        connection.settimeout(timeout)
        try:
            connection.connect((address, port))
        except BaseException:
            connection.close()
            raise
        return connection

    def answers(self, name: str, address: str, port: int) -> bool:
        """Whether something accepts TCP connections there."""
        try:
            self.connect(name, address, port, 1.0).close()
            return True
        except OSError:
            return False


def _setns(fd: int):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "setns")
