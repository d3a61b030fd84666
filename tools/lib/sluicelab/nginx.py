"""nginx with a configuration and a folder of its own, in a namespace of the lab; nothing of the machine's nginx is touched."""
import subprocess
from pathlib import Path

from .lab import Lab, LabError, end_process, wait_for

# Every path that nginx would else look for in /var or /etc is in the instance's own folder.
_FRAME = """
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    types {{ text/html html; text/plain txt; text/css css; application/javascript js; image/svg+xml svg; }}
    default_type application/octet-stream;
    access_log {access_log};
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{http}
}}
"""

# A backend that says who it is, in a header and in the body of its front page.
_BACKEND = """
    server {{
        listen 0.0.0.0:{port} backlog=8192 reuseport;
        listen [::]:{port} backlog=8192 reuseport;
        server_name _;
        root {root};
        add_header X-Backend {name} always;
        location = / {{ default_type text/plain; return 200 "{name}\\n"; }}
        location /cached/ {{ add_header X-Backend {name} always; add_header Cache-Control "max-age=60"; }}
        location /whoami {{ default_type text/plain; return 200 "{name} $remote_addr $remote_port\\n"; }}
        location /headers {{
            default_type text/plain;
            return 200 "{name}\\nhost: $host\\nx-real-ip: $http_x_real_ip\\nx-forwarded-for: $http_x_forwarded_for\\nx-forwarded-proto: $http_x_forwarded_proto\\nvia: $http_via\\n";
        }}
    }}
"""


class Nginx:
    """One nginx. `http` is what stands in its http block."""

    def __init__(self, lab: Lab, name: str, folder: Path, http: str, workers: int = 1, cpus: str | None = None,
                 access_log: str = "off", module_lines: str = ""):
        self.lab, self.name, self.folder = lab, name, folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self.config = folder / "nginx.conf"
        user = "user root;\n"  # files of the lab are readable by their owner alone
        self.config.write_text(module_lines + user + _FRAME.format(workers=workers, folder=folder, http=http, access_log=access_log))
        prefix = ["taskset", "-c", cpus] if cpus is not None else []
        self.process = lab.start(name, *prefix, "nginx", "-p", folder, "-c", self.config, stdout=subprocess.DEVNULL,
                                 stderr=open(folder / "stderr.log", "wb"))

    def wait_until_ready(self, address: str, port: int):
        def ready():
            if self.process.poll() is not None:
                raise LabError(f"nginx in {self.name} ended at once:\n{self.log()}")
            return self.lab.answers(self.name, address, port)

        wait_for(ready, f"nginx in {self.name} on {address}:{port}")

    def log(self) -> str:
        return "".join(path.read_text(errors="replace") for path in (self.folder / "stderr.log", self.folder / "error.log")
                       if path.exists())

    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def stop(self):
        end_process(self.process)


def backend(lab: Lab, name: str, folder: Path, root: Path, port: int = 8080, **options) -> Nginx:
    """An nginx that serves the files of `root` in the namespace `name`, and answers / with its name."""
    return Nginx(lab, name, folder, _BACKEND.format(port=port, root=root, name=name), **options)
