"""What a client's JSON Schema says of a tool's arguments, or of an answer that has to be JSON.

A client's schema is any JSON value that claims to be one: nothing here raises for one, asks the network, or takes long.
"""

from __future__ import annotations

from functools import cached_property

from app.toolcalls.coercion import Types, coerced, parsed, types_of
from app.toolcalls.compaction import compact
from app.toolcalls.example import example
from app.toolcalls.subschemas import members
from app.toolcalls.validation import Judge
from app.toolcalls.vocabulary import fault

__all__ = ["Parameters", "check", "compact", "example", "problems"]

MAX_SCHEMA = 256 << 10
"""Characters of JSON; a larger schema is not judged by."""

MAX_WORDS = 8
MAX_PROBLEMS = 3
MAX_PROBLEM = 200


class Parameters:
    """The parameters of a tool, from the JSON text of their schema; read when first asked about."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._types: dict[str, Types | None] = {}

    @cached_property
    def _schema(self) -> object:
        return parsed(self._text)

    @cached_property
    def _properties(self) -> dict[str, object]:
        return members(self._schema, self._schema)[0]

    @cached_property
    def _judge(self) -> Judge | None:
        return _judge(self._text, self._schema)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The properties of the arguments, in the order of the schema."""
        return tuple(self._properties)

    def coerced(self, name: str, value: object) -> tuple[object, bool]:
        """The value of a property as the type that the schema asks for, and whether it was changed for that.

        It is changed only where its own type is not allowed, and where it can be understood in one way.
        """
        if name not in self._properties:
            return value, False
        if name not in self._types:
            self._types[name] = types_of(self._schema, self._properties[name])
        return coerced(value, self._types[name])

    def mismatches(self, arguments: dict[str, object]) -> tuple[str, ...]:
        """What in the arguments the schema does not allow, as words for programs; () if that cannot be told."""
        violations = self._judge.violations(arguments) if self._judge else ()
        words = list(dict.fromkeys(violation.word for violation in violations))
        return tuple(sorted(words[:MAX_WORDS]))


def check(text: str) -> str | None:
    """Why a JSON text cannot serve as the schema of an answer, as what follows "the schema"; None if it can."""
    if len(text) > MAX_SCHEMA:
        return f"is larger than {MAX_SCHEMA >> 10} KiB."
    return fault(parsed(text))


def problems(text: str, value: object) -> tuple[str, ...]:
    """What in a value the schema of that text does not allow, in lines for a model; () if that cannot be told."""
    judge = _judge(text, parsed(text))
    violations = judge.violations(value) if judge else ()
    return tuple(violation.line[:MAX_PROBLEM] for violation in violations[:MAX_PROBLEMS])


def _judge(text: str, schema: object) -> Judge | None:
    """Who judges by a schema; None if nobody can."""
    if len(text) > MAX_SCHEMA or not isinstance(schema, dict | bool):
        return None
    try:
        return Judge(schema)
    except RecursionError:
        return None
