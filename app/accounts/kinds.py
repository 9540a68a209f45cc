"""Classes of errors by the words under which workers remember and tell each other of refusals."""

from __future__ import annotations

from collections.abc import Iterator

from app.errors import GatewayError


def by_code(code: str) -> type[GatewayError]:
    """The class of a code, the first of its line; GatewayError itself for a code that is not of the tree."""
    return next((kind for kind in _tree() if kind.code == code), GatewayError)


def by_name(name: str) -> type[GatewayError]:
    """The class of that name; GatewayError itself for one that is not of the tree."""
    return next((kind for kind in _tree() if kind.__name__ == name), GatewayError)


def _tree() -> Iterator[type[GatewayError]]:
    """All classes, each before those below it."""
    pending: list[type[GatewayError]] = [GatewayError]
    for kind in pending:
        yield kind
        pending += kind.__subclasses__()
