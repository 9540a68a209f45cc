"""What `generationConfig` asks of the answer.

How words are chosen (temperature, topP, topK, seed, penalties) is Kimi's own affair, so those are not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.chat.request import Effort, JsonFormat
from app.dialects.gemini.openapi import json_schema
from app.dialects.gemini.spelling import Members, listed
from app.dialects.wishes import EFFORTS, MAX_TOKENS, json_format, stop_sequences
from app.errors import InvalidRequest

_ANY_JSON = JsonFormat("{}")
"""JSON without a schema: Google's may be a list as well, and its own examples ask for one."""

_TEXT, _JSON, _ENUM = "text/plain", "application/json", "text/x.enum"

_BUDGETS = ((1024, Effort.LOW), (8192, Effort.MEDIUM))
"""The most tokens of a thinking budget that are so much effort (ai.google.dev/gemini-api/docs/openai); more is high."""

_DYNAMIC = -1
_MAX_BUDGET = 1_000_000


@dataclass(frozen=True, slots=True)
class Generation:
    """How the answer has to be.

    `bare` says that the JSON string of the answer is given without its quotes; `shows_thoughts` that the client is
    given what the model thought.
    """

    form: JsonFormat | None = None
    bare: bool = False
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    effort: Effort | None = None
    shows_thoughts: bool = False


def generation(config: Members | None) -> Generation:
    """What the members of `generationConfig` ask for. Raises InvalidRequest."""
    if config is None:
        return Generation()
    _check_served(config)
    form, bare = _form(config)
    thinking = config.object("thinkingConfig")
    return Generation(
        form=form,
        bare=bare,
        stop=stop_sequences(config.get("stopSequences"), config.at("stopSequences")),
        max_tokens=_whole(config, "maxOutputTokens", 1, MAX_TOKENS),
        effort=None if thinking is None else _effort(thinking),
        shows_thoughts=thinking is not None and thinking.get("includeThoughts") is True,
    )


def _check_served(config: Members) -> None:
    """Refuse what no answer of Kimi's can be."""
    count, at = config.get("candidateCount"), config.at("candidateCount")
    if count is not None and (isinstance(count, bool) or count != 1):
        raise InvalidRequest(f"{at} must be 1: Kimi gives one answer at a time.", param=at)
    kinds = {str(kind).upper() for kind in listed(config.get("responseModalities") or [])}
    at = config.at("responseModalities")
    if kinds and kinds.isdisjoint({"TEXT", "MODALITY_UNSPECIFIED"}):
        raise InvalidRequest(f"{at} must have TEXT: Kimi answers in text.", param=at)
    at = config.at("continuationToken")
    if "continuationToken" in config:
        raise InvalidRequest(f"{at} is not of an answer of this gateway.", param=at)


def _form(config: Members) -> tuple[JsonFormat | None, bool]:
    """What the answer has to look like, and whether it is bare; a schema alone asks for JSON as well."""
    name = "responseJsonSchema" if "responseJsonSchema" in config else "responseSchema"
    schema, at = config.get(name), config.at("responseMimeType")
    kind = (config.text("responseMimeType") or (_TEXT if schema is None else _JSON)).lower()
    if kind not in {_TEXT, _JSON, _ENUM}:
        raise InvalidRequest(f"{at} must be {_TEXT}, {_JSON} or {_ENUM}.", param=at)
    if schema is None and kind == _ENUM:
        raise InvalidRequest(f"{config.at(name)} is missing: {_ENUM} is one of its values.", param=config.at(name))
    if schema is None:
        return (_ANY_JSON if kind == _JSON else None), False
    if kind == _TEXT:
        raise InvalidRequest(f"{at} must be {_JSON} where a schema is given.", param=at)
    if name == "responseSchema":
        schema = json_schema(schema)
    return json_format(schema, config.at(name), strict=True), kind == _ENUM


def _effort(thinking: Members) -> Effort | None:
    """How much to think; a level wins over a budget."""
    level, at = thinking.word("thinkingLevel"), thinking.at("thinkingLevel")
    if level is not None:
        if level.lower() not in EFFORTS:
            raise InvalidRequest(f"{at} must be MINIMAL, LOW, MEDIUM or HIGH.", param=at)
        return EFFORTS[level.lower()]
    budget = _whole(thinking, "thinkingBudget", _DYNAMIC, _MAX_BUDGET)
    if budget is None or budget == _DYNAMIC:
        return None
    if budget == 0:
        return Effort.NONE
    return next((effort for most, effort in _BUDGETS if budget <= most), Effort.HIGH)


def _whole(members: Members, name: str, least: int, most: int) -> int | None:
    """A whole number between two others."""
    value, at = members.get(name), members.at(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidRequest(f"{at} must be an integer from {least} to {most}.", param=at)
    return value
