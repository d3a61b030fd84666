"""Certificates for the lab, made by openssl when they are needed. Keys of the lab never go into the checkout."""
import subprocess
from pathlib import Path


class Authority:
    """A certificate authority of its own in a folder."""

    def __init__(self, folder: Path, name: str = "sluice lab"):
        self.folder = folder
        self.cert = folder / "ca.crt"
        self._key = folder / "ca.key"
        folder.mkdir(parents=True, exist_ok=True)
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                      "-keyout", self._key, "-out", self.cert, "-subj", f"/CN={name} authority",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, *names: str, rsa: bool = False) -> tuple[Path, Path]:
        """A certificate for these host names (the first one is the common name). Returns the files of certificate and key."""
        stem = names[0].replace("*", "any")
        cert, key, request = (self.folder / f"{stem}.{end}" for end in ("crt", "key", "csr"))
        kind = ["-newkey", "rsa:2048"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self._openssl("req", *kind, "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={names[0]}",
                      "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
        self._openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key, "-CAcreateserial", "-days", "30",
                      "-copy_extensions", "copy", "-out", cert)
        request.unlink()
        return cert, key

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)
