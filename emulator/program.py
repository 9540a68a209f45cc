"""Listen on loopback until SIGTERM or SIGINT."""

import argparse
import signal
import sys

import gevent
from gevent.event import Event

from emulator.server import serve
from emulator.site import Site

_STOP_SECONDS = 0.2


def main() -> None:
    """Serve, and say where in exactly one line."""
    parser = argparse.ArgumentParser(prog="python -m emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--account", action="append", default=[], metavar="NAME")
    arguments = parser.parse_args()
    site = Site()
    for name in arguments.account:
        site.accounts.open({"name": name})
    try:
        server = serve(site, arguments.host, arguments.port)
    except OSError as error:
        parser.exit(1, f"cannot listen: {error}\n")
    sys.stdout.write(f"emulator listening on http://{arguments.host}:{server.server_port}\n")
    sys.stdout.flush()
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set)
    stopped.wait()
    server.stop(timeout=_STOP_SECONDS)
