"""Fields that the vendors' schemas share: strict where marshmallow is obliging.

marshmallow takes "yes" and 1 for True and "1" for a number; vendors do not, and a client that sends them has a defect
that it wants to hear of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from marshmallow import Schema, ValidationError, fields

from app.errors import InvalidRequest

MAX_MODEL_NAME = 256
_MODEL_NAME = re.compile(r"\w[\w.:/@+\-()\[\], ]*")
_SESSION = re.compile(r"[\x21-\x7e]{1,256}")


class StrictBoolean(fields.Field[bool]):
    """True or False and nothing else."""

    def _deserialize(self, value: object, *_: object, **__: object) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class StrictNumber(fields.Field[float]):
    """A JSON number between `minimum` and `maximum`; with `whole`, an integer."""

    def __init__(self, *, minimum: float, maximum: float, whole: bool = False) -> None:
        super().__init__(allow_none=True)
        self._minimum = minimum
        self._maximum = maximum
        self._whole = whole

    def _deserialize(self, value: object, *_: object, **__: object) -> float:
        kind = "an integer" if self._whole else "a number"
        number = isinstance(value, int) if self._whole else isinstance(value, int | float)
        if isinstance(value, bool) or not number or not isinstance(value, int | float):
            raise ValidationError(f"must be {kind}")
        if not self._minimum <= value <= self._maximum:
            raise ValidationError(f"must be {kind} from {self._minimum:g} to {self._maximum:g}")
        return value


class ModelName(fields.Field[str]):
    """A model's name: it is repeated in the answer and chosen by, so it has to look like a name."""

    def __init__(self) -> None:
        super().__init__(required=True, error_messages={"required": "is missing", "null": "must be a string"})

    def _deserialize(self, value: object, *_: object, **__: object) -> str:
        if not isinstance(value, str) or not value:
            raise ValidationError("must be the name of a model")
        if len(value) > MAX_MODEL_NAME or not _MODEL_NAME.fullmatch(value):
            raise ValidationError(
                f"must be the name of a model: at most {MAX_MODEL_NAME} letters, digits and signs like - . : /"
            )
        return value


def loaded(schema: Schema, body: Mapping[str, object]) -> dict[str, object]:
    """What the schema makes of a body. Raises InvalidRequest for its first fault, which names the field."""
    try:
        values: dict[str, object] = schema.load(body)
    except ValidationError as error:
        path, message = _first(error.messages)
        raise InvalidRequest(f"{path} {message}".strip(), param=path or None) from None
    return values


def _first(messages: object, path: str = "") -> tuple[str, str]:
    """The path and text of the first fault: marshmallow nests them by field name and list index."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            step = f"[{name}]" if isinstance(name, int) else f".{name}" if path else str(name)
            return _first(inner, path if name == "_schema" else path + step)
    if isinstance(messages, list) and messages:
        return _first(messages[0], path)
    return path, str(messages)


def sane_session(name: object) -> str | None:
    """A client's name for its conversation; it is a hint, so one that cannot be used is no error."""
    return name if isinstance(name, str) and _SESSION.fullmatch(name) else None
