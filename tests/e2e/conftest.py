"""What the end-to-end tests stand on: the lab, three backends of each kind in it, certificates, and sluice with a configuration."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "tools/lib"), str(HERE)]

import client as http_client  # noqa: E402
import world  # noqa: E402
from sluicelab import certificates, nginx  # noqa: E402
from sluicelab.lab import BACKENDS, Lab, end_process, wait_for  # noqa: E402
from sluicelab.sluice import Sluice, build_folder  # noqa: E402


def pytest_configure():
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests make network namespaces: run them as root", 2)
    for program in ("sluice", "sluicectl"):
        if not (build_folder() / program).exists():
            pytest.exit(f"{build_folder() / program} is not there: run tools/build first", 2)


@pytest.fixture(scope="session")
def lab():
    """The namespaces, for the whole session. What an earlier session left is removed first."""
    lab = Lab(os.environ.get("SLUICE_LAB", "sluice-test-"))
    lab.down()
    with lab:
        yield lab


@pytest.fixture(scope="session")
def folder():
    """A folder with a short name: the path of a UNIX socket has at most 107 characters."""
    path = Path(tempfile.mkdtemp(prefix="sluice-e2e-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


class Origins:
    """origin.py in every backend's namespace: HTTP on 8080, echo on 7000 (TCP and UDP)."""

    def __init__(self, lab: Lab):
        self.lab = lab
        self.processes: dict[str, subprocess.Popen] = {}

    def start(self, name: str):
        process = self.lab.start(name, sys.executable, "-B", HERE / "origin.py", name, "--http", world.HTTP_PORT,
                                 "--echo", world.ECHO_PORT, stdout=subprocess.DEVNULL)
        self.processes[name] = process
        wait_for(lambda: self.lab.answers(name, "127.0.0.1", world.HTTP_PORT)
                 and self.lab.answers(name, "127.0.0.1", world.ECHO_PORT), f"origin in {name}")

    def kill(self, name: str):
        """The process dies as in a crash; the machine (the namespace) lives on and answers with RST."""
        self.processes[name].kill()
        self.processes[name].wait()

    def restore(self):
        for name in BACKENDS:
            if name not in self.processes or self.processes[name].poll() is not None:
                self.start(name)

    def count(self, path: str) -> int:
        """How often the origins saw a path, asked from their own namespaces."""
        total = 0
        for name in BACKENDS:
            with http_client.Connection(self.lab, "127.0.0.1", world.HTTP_PORT, namespace=name) as connection:
                total += connection.get("/count").json().get(path, 0)
        return total


@pytest.fixture(scope="session")
def origins(lab):
    origins = Origins(lab)
    origins.restore()
    yield origins
    for process in origins.processes.values():
        end_process(process)


@pytest.fixture(scope="session")
def www(lab, folder):
    """nginx in every backend's namespace, on port 8090, with the same files."""
    root = folder / "www"
    root.mkdir()
    (root / "1k.bin").write_bytes(os.urandom(1024))
    (root / "16k.bin").write_bytes(os.urandom(16 << 10))
    (root / "cached").mkdir()
    (root / "cached/1k.bin").write_bytes(os.urandom(1024))
    with open(root / "100m.bin", "wb") as file:
        for _ in range(100):
            file.write(os.urandom(1 << 20))
    servers = [nginx.backend(lab, name, folder / f"nginx-{name}", root, port=world.NGINX_PORT) for name in BACKENDS]
    for server in servers:
        server.wait_until_ready("127.0.0.1", world.NGINX_PORT)
    yield root
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def certs(folder):
    return world.Certificates(certificates.Authority(folder / "certificates"))


@pytest.fixture(scope="session")
def files(folder):
    """The folder behind /static/."""
    path = folder / "static"
    (path / "sub").mkdir(parents=True)
    (path / "hello.txt").write_text("hello from a file\n")
    (path / "index.html").write_text("<h1>the index</h1>\n")
    (path / "sub/index.html").write_text("<h1>of sub</h1>\n")
    (path / "large.bin").write_bytes(os.urandom(3 << 20))
    (path / "empty").write_bytes(b"")
    (folder / "secret.txt").write_text("not below the folder\n")
    os.symlink(folder / "secret.txt", path / "link.txt")
    return path


@pytest.fixture(scope="session")
def start_sluice(lab, folder):
    """start_sluice(config, ...) -> a running Sluice; the caller uses it in a `with`."""
    count = 0

    def start(config: dict, **options) -> Sluice:
        nonlocal count
        count += 1
        return Sluice(lab, folder, config, name=f"s{count}", **options)

    return start


@pytest.fixture(scope="module")
def sluice(start_sluice, origins, www, certs, files):
    """The one that most tests of a file share: every kind of service (world.config), all backends up."""
    origins.restore()
    with start_sluice(world.config(certs, files)) as running:
        running.wait_until_up(*BACKENDS)
        yield running


@pytest.fixture
def connect(lab, certs):
    """connect(), connect(tls=True), connect(address=..., port=...): a connection of the client to the site."""
    opened = []

    def open_connection(address: str = world.SITE4, port: int | None = None, tls: bool = False, **options):
        connection = http_client.Connection(lab, address, port or (443 if tls else 80),
                                            context=options.pop("context", certs.context() if tls else None), **options)
        opened.append(connection)
        return connection

    yield open_connection
    for connection in opened:
        connection.close()
