"""Objects of a request whose members are spelled in one of two ways: `maxOutputTokens` or `max_output_tokens`.

Google's API reads both (protobuf's JSON mapping), and its SDK for Python writes both into one body (conformance.md,
section 3). Where a list belongs Google also takes one value, and its own examples write it so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from app.errors import InvalidRequest

_CAPITAL = re.compile(r"[A-Z]")
_UNDERSCORE = re.compile(r"_([a-z0-9])")


@cache
def _snake(name: str) -> str:
    return _CAPITAL.sub(lambda found: "_" + found[0].lower(), name)


def camel(name: str) -> str:
    """A name in camel case, whichever of the two it is written in."""
    return _UNDERSCORE.sub(lambda found: found[1].upper(), name)


def listed(value: object) -> list[object]:
    """The values of a list, or the one value that stands in its place."""
    return value if isinstance(value, list) else [value]


class Members:
    """The members of an object, asked for in camel case and found in either spelling; null is as absent.

    `place` is where the object stands, in the words of the client, empty for the body.
    """

    def __init__(self, value: Mapping[str, object], place: str = "") -> None:
        self.place = place
        self._value = value

    @classmethod
    def of(cls, value: object, place: str) -> Members:
        """The members of a value that has to be an object. Raises InvalidRequest."""
        if not isinstance(value, dict):
            raise InvalidRequest(f"{place} must be an object.", param=place)
        return cls(value, place)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get(self, name: str) -> object:
        """The value of a member, None if there is none."""
        value = self._value.get(name)
        return self._value.get(_snake(name)) if value is None else value

    def at(self, name: str) -> str:
        """The place of a member, as the client spells it."""
        spelled = _snake(name) if self._value.get(name) is None and _snake(name) in self._value else name
        return f"{self.place}.{spelled}" if self.place else spelled

    def text(self, name: str) -> str | None:
        """The value of a member that has to be a string. Raises InvalidRequest."""
        value = self.get(name)
        if value is None or isinstance(value, str):
            return value
        raise InvalidRequest(f"{self.at(name)} must be a string.", param=self.at(name))

    def word(self, name: str) -> str | None:
        """The value of an enum, in capitals as Google writes them; None for one that is not specified.

        Raises InvalidRequest.
        """
        text = self.text(name)
        return None if text is None or text.upper().endswith("UNSPECIFIED") else text.upper()

    def object(self, name: str) -> Members | None:
        """The members of a member. Raises InvalidRequest."""
        value = self.get(name)
        return None if value is None else Members.of(value, self.at(name))

    def objects(self, name: str) -> list[Members]:
        """The objects of a list. Raises InvalidRequest."""
        value = self.get(name)
        if isinstance(value, list):
            return [Members.of(each, f"{self.at(name)}[{index}]") for index, each in enumerate(value)]
        return [] if value is None else [Members.of(value, self.at(name))]
