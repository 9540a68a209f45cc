"""The list of models in Anthropic's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.errors import InvalidRequest

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000

_CREATED = "2023-11-14T22:13:20Z"
"""RFC 3339; Kimi tells no dates of its models, and this is the time that the other dialects tell."""


def model_info(name: str) -> dict[str, object]:
    """One model, as the vendor's SDK reads it (anthropic 2.14, `types/model_info.py`)."""
    return {"type": "model", "id": name, "display_name": name, "created_at": _CREATED, "lifecycle": "active"}


def model_page(names: Sequence[str], arguments: Mapping[str, str]) -> dict[str, object]:
    """The part of the list that the arguments of the address ask for. Raises InvalidRequest."""
    limit = _limit(arguments.get("limit"))
    start = _place(names, arguments, "after_id")
    end = _place(names, arguments, "before_id")
    between = names[0 if start is None else start + 1 : end]
    backwards = end is not None and start is None
    page = between[-limit:] if backwards else between[:limit]
    return {
        "data": [model_info(name) for name in page],
        "has_more": len(between) > limit,
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


def _limit(value: str | None) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if value.isascii() and value.isdecimal() and len(value) <= len(str(MAX_LIMIT)) and 1 <= int(value) <= MAX_LIMIT:
        return int(value)
    raise InvalidRequest(f"limit must be a number from 1 to {MAX_LIMIT}.", param="limit")


def _place(names: Sequence[str], arguments: Mapping[str, str], param: str) -> int | None:
    """Where in the list the model stands that an argument names; None without the argument."""
    name = arguments.get(param)
    if name is None:
        return None
    if name not in names:
        raise InvalidRequest(f"{param} is not the id of a model of the list.", param=param)
    return names.index(name)
