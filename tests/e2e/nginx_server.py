"""nginx in front of one gateway or several, as an operator would put it there for streams."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.redis_server import end, free_port, started, why_not

_CONFIGURATION = """\
daemon off;
master_process off;  # one process of whoever runs the tests: no other user has to read the folder
pid nginx.pid;
error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log access.log;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    client_max_body_size 200m;
    upstream gateways {{
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://gateways;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_read_timeout 3600s;
            proxy_next_upstream off;
        }}
    }}
}}
"""


def missing() -> str | None:
    """Say why tests that need nginx are skipped here; None where they run."""
    return why_not("nginx")


requires_nginx = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@contextmanager
def nginx(upstreams: Sequence[str], folder: Path) -> Iterator[str]:
    """Run nginx before these base URLs, each in its turn, and give its own; the folder is for its files alone.

    As nginx has it, one of several that has just refused a connection or broken an answer off is passed over for 10 s.
    Skips the test, or every test of the fixture, where nginx is not installed.
    """
    if reason := missing():
        pytest.skip(reason)
    port = free_port()
    servers = "\n        ".join(f"server {urlsplit(url).netloc};" for url in upstreams)
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(servers=servers, port=port), encoding="utf-8")
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"
    command = [program, "-p", f"{folder.resolve()}/", "-c", "nginx.conf"]
    process = started(command, port, folder / "nginx.log")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)
