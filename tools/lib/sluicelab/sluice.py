"""A sluice process in the lab: its configuration is a Python value, its admin socket answers through sluicectl."""
import json
import os
import signal
import subprocess
from pathlib import Path

import yaml

from . import ROOT
from .lab import EDGE4, EDGE6, INSIDE4, INSIDE6, CLIENT4, CLIENT6, Lab, LabError, end_process, wait_for


def build_folder() -> Path:
    """Where the programs are; SLUICE_BUILD names another build (build-asan, ...)."""
    return Path(os.environ.get("SLUICE_BUILD", ROOT / "build")).resolve()


# A driver's vdev for an interface of the lab. af_xdp: no busy polling in the kernel (it costs 2 us an idle poll). af_packet: the ring
# is made large enough for bursts.
VDEVS = {
    "af_xdp": "net_af_xdp{index},iface={interface},busy_budget=0",
    "af_packet": "net_af_packet{index},iface={interface},framecnt=4096,blocksz=65536,qpairs={queues}",
    "pcap": "net_pcap{index},iface={interface}",
}


def interfaces(driver: str = "af_xdp", queues: int = 1) -> dict:
    """The `interfaces` section for the lab."""
    vdev = VDEVS[driver]
    return {
        "edge": {"device": vdev.format(index=0, interface="edge", queues=queues), "addresses": [f"{EDGE4}/25", f"{EDGE6}/64"],
                 "gateway": [CLIENT4, CLIENT6]},
        "inside": {"device": vdev.format(index=1, interface="inside", queues=queues),
                   "addresses": [f"{INSIDE4}/24", f"{INSIDE6}/64"]},
    }


class Sluice:
    """`with Sluice(lab, folder, config):` runs until the end of the block; then it must have ended cleanly."""

    def __init__(self, lab: Lab, folder: Path, config: dict, namespace: str = "sluice", name: str = "sluice"):
        self.lab, self.folder, self.namespace = lab, folder, namespace
        folder.mkdir(parents=True, exist_ok=True)
        self.socket = folder / f"{name}.sock"
        self.config_file = folder / f"{name}.yaml"
        self.log_file = folder / f"{name}.log"
        self.write(config)
        self.process: subprocess.Popen | None = None

    def write(self, config: dict):
        """Into the configuration file; a running process sees it with reload()."""
        self.config = {**config, "admin": {"socket": str(self.socket)}}
        self.config_file.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def reload(self, timeout: float = 10.0) -> str:
        """SIGHUP, and what the log says about it: of all that this process was told to reload, the newest."""
        before = len(self.log())
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "SIGHUP: " in self.log()[before:], f"the reload is in the log\n{self.log()}", timeout)
        self.ctl("status")  # a second line, if there is one, is written at once
        return self.log()[before:]

    def start(self, timeout: float = 30.0):
        with open(self.log_file, "wb") as log:
            self.process = self.lab.start(self.namespace, build_folder() / "sluice", "run", self.config_file, stdout=log, stderr=log)
        self.wait_until_running(timeout)
        return self

    def wait_until_running(self, timeout: float = 30.0):
        def running():
            if self.process.poll() is not None:
                raise LabError(f"sluice ended with exit code {self.process.returncode}:\n{self.log()}")
            status = self.socket.exists() and self.ctl("status", check=False)
            return status and status["state"] == "running"

        wait_for(running, f"sluice answers on {self.socket}\n{self.log()}", timeout)

    def wait_until_up(self, *names: str, timeout: float = 15.0):
        """Until these backends (all, without names) are up."""
        def up():
            rows = self.ctl("backends")
            wanted = [row for row in rows if not names or row["backend"] in names]
            return wanted and all(row["up"] for row in wanted)

        wait_for(up, f"backends {' '.join(names)} are up: {self.ctl('backends')}\n{self.log()}", timeout)

    def ctl(self, *arguments: str, check: bool = True):
        """What sluicectl --json says, as a Python value; None if it fails and check is off."""
        result = subprocess.run([build_folder() / "sluicectl", "--socket", self.socket, "--json", *arguments],
                                capture_output=True, text=True, timeout=20)
        if result.returncode != 0:
            if check:
                raise LabError(f"sluicectl {' '.join(arguments)}: {result.stderr}\n{self.log()}")
            return None
        return json.loads(result.stdout)

    def table(self, *arguments: str) -> str:
        """What sluicectl prints for people."""
        result = subprocess.run([build_folder() / "sluicectl", "--socket", self.socket, *arguments], capture_output=True, text=True,
                                timeout=20)
        if result.returncode != 0:
            raise LabError(f"sluicectl {' '.join(arguments)}: {result.stderr}")
        return result.stdout

    def backend(self, name: str) -> dict:
        return next(row for row in self.ctl("backends") if row["backend"] == name)

    def drops(self) -> dict[str, int]:
        """Packets dropped so far, by reason; reasons that never happened are left out."""
        return {row["reason"]: row["packets"] for row in self.ctl("drops") if row["packets"]}

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def stop(self, timeout: float = 40.0) -> int:
        """SIGTERM, and the exit code."""
        return end_process(self.process, timeout)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        code = self.stop()
        if code != 0 and kind is None:
            raise LabError(f"sluice ended with exit code {code} on SIGTERM:\n{self.log()}")
