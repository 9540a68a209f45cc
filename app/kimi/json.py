"""Tolerant reading of Kimi's JSON: fields may be missing, of another type, or spelled in snake case.

Protobuf's JSON mapping takes both spellings and Kimi's answers have shown both (protocol.md B4, B11).
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from datetime import datetime

import orjson

SAYING = 200
"""Characters of what Kimi says that are passed on to a client."""

_CAPITAL = re.compile("[A-Z]")


def parse(data: bytes | str) -> object:
    """Read one JSON value; raises ValueError."""
    return orjson.loads(data)


def dump(value: object) -> bytes:
    """Write one JSON value."""
    return orjson.dumps(value)


@functools.cache
def _snake(name: str) -> str:
    return _CAPITAL.sub(lambda match: "_" + match[0].lower(), name)


def member(value: object, name: str) -> object:
    """The member `name` (in camel case) of an object, under either spelling; None if there is none."""
    if not isinstance(value, dict):
        return None
    found = value.get(name)
    if found is None and not name.islower():
        found = value.get(_snake(name))
    return found


def text(value: object, *path: str) -> str:
    """The string at `path`, "" if there is none."""
    for name in path:
        value = member(value, name)
    return value if isinstance(value, str) else ""


def saying(value: object, *path: str) -> str:
    """The string at `path` as a sentence to pass on: one line, printable, at most SAYING characters."""
    words = " ".join(text(value, *path).split())
    return "".join(character for character in words if character.isprintable())[:SAYING]


def items(value: object, *path: str) -> Iterator[object]:
    """The elements of the list at `path`; nothing if there is none."""
    for name in path:
        value = member(value, name)
    if isinstance(value, list):
        yield from value


def timestamp(value: object, *path: str) -> float | None:
    """The moment at `path` (RFC 3339, to the nanosecond) as the time of day in seconds, None if there is none."""
    written = text(value, *path)
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def number(value: object, name: str) -> float | None:
    """The number of that name, also one written as a string; None if there is none, or one that is no number."""
    found = member(value, name)
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        read = float(found)
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None
