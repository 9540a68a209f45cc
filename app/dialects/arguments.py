"""The arguments of calls as dialects tell of them."""

from __future__ import annotations

import json

import orjson


def sound(text: str) -> str:
    """Text that can be written in UTF-8: a lone surrogate in it, which cannot, is replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def as_object(arguments: str) -> orjson.Fragment:
    """The arguments of a call as a JSON object to be written by orjson: their own text, in which numbers stay whole.

    What is no object becomes one that holds it as `input`.
    """
    if not isinstance(_value(arguments), dict):
        arguments = json.dumps({"input": arguments}, ensure_ascii=False)
    return orjson.Fragment(sound(arguments))


def freeform_input(arguments: str) -> str:
    """The text of a freeform call; the arguments as they are where they hold none."""
    value = _value(arguments)
    text = value.get("input") if isinstance(value, dict) else None
    return sound(text if isinstance(text, str) else arguments)


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
