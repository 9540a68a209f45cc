"""Python runs this first where this folder is on its path: only this machine can be reached, and attempts are noted.

By Python's own sockets that is, which all libraries here use. ATTEMPTS names the file of the notes, one host a line.
"""

import os
import ssl
import sys
from pathlib import Path

_WATCHED = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.connect": 1, "socket.sendto": 1}
"""Audit event → which of its arguments tells the host, alone or in an address."""

_HERE = {"127.0.0.1", "::1", "localhost", "", None}


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _WATCHED:
        return
    told = arguments[_WATCHED[event]]
    host = told[0] if isinstance(told, tuple) else told
    host = host.decode() if isinstance(host, bytes) else host
    if host in _HERE or (event in {"socket.connect", "socket.sendto"} and not isinstance(told, tuple)):
        return
    with Path(os.environ["ATTEMPTS"]).open("a", encoding="utf-8") as notes:
        notes.write(f"{host}\n")
    raise ConnectionRefusedError(f"{host} is not this machine")


def _load_none(*_: object, **__: object) -> None:
    """Load no certificates: it takes 0.1 s for each client of an SDK, and all is plain HTTP here."""


sys.addaudithook(_watch)
ssl.SSLContext.load_verify_locations = _load_none
