"""The exceptions of the libraries below the transport."""

from __future__ import annotations

import http.client

import requests
import urllib3

from app.errors import GatewayError


def _classes_of(*roots: type[BaseException]) -> list[type[BaseException]]:
    """The roots and all classes below them that are known to this process."""
    found: dict[type[BaseException], None] = {}
    pending = list(roots)
    while pending:
        kind = pending.pop()
        # urllib.request is not used here, and its errors cannot be made without a file.
        if kind not in found and not issubclass(kind, Warning | GatewayError) and kind.__module__ != "urllib.error":
            found[kind] = None
            pending += kind.__subclasses__()
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


def _exported(*modules: object) -> set[type[BaseException]]:
    """The exception classes that modules export."""
    return {
        value
        for exporting in modules
        for value in vars(exporting).values()
        if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, Warning)
    }


FOREIGN = _classes_of(
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    *_exported(requests.exceptions, urllib3.exceptions),
)
"""All that may be raised below the transport."""


def name_of(kind: type[BaseException]) -> str:
    """The full name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"
