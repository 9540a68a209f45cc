"""Models in Google's words, and the pages of their list."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from app.errors import InvalidRequest

_METHODS = ("generateContent", "streamGenerateContent", "countTokens")
_PAGE, _MAX_PAGE = 50, 1000
"""Models on a page, by default and at most (ai.google.dev/api/models)."""

_DIGITS = re.compile(r"[0-9]{1,9}")


def model(name: str) -> dict[str, object]:
    """One model: its name as a resource, and what it can be asked. Kimi tells no limits, so none are told here."""
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": list(_METHODS)}


def page(names: Sequence[str], args: Mapping[str, str]) -> dict[str, object]:
    """The part of a list that the query asks for, with the token of the next one if there is more.

    Raises InvalidRequest.
    """
    size = _number(args, "pageSize", "page_size") or _PAGE
    start = _number(args, "pageToken", "page_token")
    end = start + min(size, _MAX_PAGE)
    listed: dict[str, object] = {"models": [model(name) for name in names[start:end]]}
    return listed | ({"nextPageToken": str(end)} if end < len(names) else {})


def _number(args: Mapping[str, str], *spellings: str) -> int:
    name = next((spelling for spelling in spellings if args.get(spelling)), spellings[0])
    value = args.get(name) or "0"
    if _DIGITS.fullmatch(value) is None:
        raise InvalidRequest(f"{name} cannot be understood.", param=name)
    return int(value)
