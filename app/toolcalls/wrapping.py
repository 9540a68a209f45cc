"""What a model puts around the arguments of a call: its name again, a list, a string that holds them as JSON; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from app.toolcalls.repair import Mended, dump, mended, readable

_WRAPPED = ("arguments", "parameters", "args", "input")
_BESIDE = frozenset({"type", "id"})


def understood(body: str, names: Sequence[str], *, freeform: bool = False) -> Mended | None:
    """The object that `body` means, None if that is in doubt; `names` are those of the tool's parameters."""
    found = readable(body, names)
    return None if found is None else unwrapped(found, names, freeform=freeform)


def unwrapped(found: Mended, names: Sequence[str], *, freeform: bool = False) -> Mended | None:
    """The object in what a model has put around it; None if there is none.

    That of a `freeform` tool has its text as `input`.
    """
    value = found.value
    for _ in _WRAPPED:  # a wrapping may stand in another one
        value = _inner(value, names, freeform=freeform)
    if freeform and (isinstance(value, str) or value == {}):
        value = {"input": value or ""}
    if not isinstance(value, dict) or (freeform and not isinstance(value.get("input"), str)):
        return None
    if value is found.value:
        return found
    return Mended(dump(value), value, (*found.warnings, "unwrapped"))


def is_wrapping(keys: Collection[str], names: Collection[str]) -> bool:
    """Whether an object of these keys may be a call with its name and arguments, instead of the arguments alone."""
    inner = [key for key in keys if key in _WRAPPED and key not in names]
    return len(inner) == 1 and ("name" in keys or bool(names)) and may_become_wrapping(keys, names)


def may_become_wrapping(keys: Collection[str], names: Collection[str]) -> bool:
    """Whether an object that begins with these keys may be such a call. A tool may have a parameter `name` itself."""
    inner = [key for key in keys if key in _WRAPPED and key not in names]
    return len(keys) > 0 and len(inner) <= 1 and {*keys} - {*inner, "name"} <= _BESIDE - {*names}


def _inner(value: object, names: Sequence[str], *, freeform: bool) -> object:
    """What lies one wrapping deeper; the value itself if it is no wrapping."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    if isinstance(value, str) and not freeform:
        return _object_in(value)
    if isinstance(value, dict) and is_wrapping(value, names):
        inner = _object_in(next(item for key, item in value.items() if key in _WRAPPED))
        if "name" in value and not freeform and (inner is None or inner == ""):
            return {}
        return inner if isinstance(inner, dict) or (freeform and isinstance(inner, str)) else value
    return value


def _object_in(value: object) -> object:
    """The object that a string holds as JSON; the value itself if it holds none."""
    found = mended(value) if isinstance(value, str) else None
    return found.value if found is not None and isinstance(found.value, dict) else value
