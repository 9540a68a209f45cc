"""What an answer has to look like, as OpenAI's clients ask for it."""

from __future__ import annotations

from app.chat.request import JsonFormat
from app.dialects.wishes import json_format
from app.errors import InvalidRequest


def answer_form(value: object, place: str, *, nested: bool) -> JsonFormat | None:
    """The form that a field asks for, None for free text. Raises InvalidRequest.

    With `nested` a schema stands in an object of its own, `json_schema`, else beside the type. `strict` counts only
    where it is true, as in the vendor's own API.
    """
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object.", param=place)
    match value.get("type"):
        case "text":
            return None
        case "json_object":
            return JsonFormat()
        case "json_schema" if nested:
            return _described(value.get("json_schema"), f"{place}.json_schema")
        case "json_schema":
            return _described(value, place)
        case _:
            raise InvalidRequest(f"{place}.type must be text, json_object or json_schema.", param=f"{place}.type")


def _described(value: object, place: str) -> JsonFormat:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place} must be an object.", param=place)
    schema = value.get("schema")
    if schema is None:
        raise InvalidRequest(f"{place}.schema is missing.", param=f"{place}.schema")
    return json_format(schema, f"{place}.schema", strict=value.get("strict") is True)
