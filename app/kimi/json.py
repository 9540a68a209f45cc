"""Tolerant reading of Kimi's JSON: fields may be missing, of another type, or spelled in snake case.

Protobuf's JSON mapping takes both spellings and Kimi's answers have shown both (protocol.md B4, B11).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

import orjson

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


def items(value: object, *path: str) -> Iterator[object]:
    """The elements of the list at `path`; nothing if there is none."""
    for name in path:
        value = member(value, name)
    if isinstance(value, list):
        yield from value
