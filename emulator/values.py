"""JSON as the emulator sees it: objects of unknown content, read field by field.

Both sides of the emulator take JSON from strangers (the gateway's requests, a test's plan), so
every reader names the field it could not use, and `Malformed` carries that sentence outwards.
"""

import json
import re
from collections.abc import Mapping

Json = dict[str, object]
"""A decoded JSON object. The values are unknown until a reader has looked at them."""

_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


class Malformed(ValueError):
    """A JSON value that has not the promised shape; the message names the field."""


def encode(value: object) -> bytes:
    """Encode as compact UTF-8 JSON, the form in which Kimi sends it (captures/01)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def decode(raw: bytes) -> object:
    """Decode JSON bytes; raises `Malformed` for anything else, and for half a surrogate pair.

    Python would read the escape of a lone half, but nobody could send it on as UTF-8.
    """
    try:
        value: object = json.loads(raw)
        encode(value)
    except (ValueError, RecursionError) as error:
        raise Malformed("the body is not JSON") from error
    return value


def decode_object(raw: bytes) -> Json:
    """Decode a body that must be one JSON object; an empty body counts as `{}`."""
    return as_object(decode(raw or b"{}"), "the body")


def as_object(value: object, what: str) -> Json:
    """Give `value` back when it is a JSON object."""
    if not isinstance(value, dict):
        raise Malformed(f"{what} must be an object")
    return value


def as_objects(value: object, what: str) -> tuple[Json, ...]:
    """Give the items of `value` back when it is a list of JSON objects."""
    if not isinstance(value, list):
        raise Malformed(f"{what} must be a list")
    return tuple(as_object(item, f"each item of {what}") for item in value)


def as_texts(value: object, what: str) -> tuple[str, ...]:
    """Give the items of `value` back when it is a list of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Malformed(f"{what} must be a list of strings")
    return tuple(value)


def child(source: Mapping[str, object], key: str) -> Json:
    """Read an object field; absent and null count as `{}`, as protojson has it."""
    value = source.get(key)
    return {} if value is None else as_object(value, key)


def text(source: Mapping[str, object], key: str, default: str = "") -> str:
    """Read a string field; absent and null give the default."""
    value = source.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise Malformed(f"{key} must be a string")
    return value


def number(source: Mapping[str, object], key: str, default: float = 0.0) -> float:
    """Read a number field (an integer is one too); absent and null give the default."""
    value = source.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed(f"{key} must be a number")
    return float(value)


def integer(source: Mapping[str, object], key: str, default: int = 0) -> int:
    """Read a whole number; absent and null give the default."""
    value = source.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed(f"{key} must be an integer")
    return value


def flag(source: Mapping[str, object], key: str) -> bool:
    """Read a boolean field; absent and null count as false."""
    value = source.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise Malformed(f"{key} must be a boolean")
    return value


def refuse_unknown(source: Mapping[str, object], known: frozenset[str], what: str) -> None:
    """Refuse a key nobody reads: a misspelt fault would make its test pass for no reason."""
    unknown = sorted(set(source) - known)
    if unknown:
        raise Malformed(f"{what} does not know {', '.join(unknown)}")


def snake_keys(value: object) -> object:
    """Rename camelCase keys to snake_case, at every depth.

    The site takes both, even mixed in one body (B4), so the request is brought to one form before
    it is read.
    """
    if isinstance(value, dict):
        return {_CAPITAL.sub(r"_\1", key).lower(): snake_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [snake_keys(item) for item in value]
    return value
