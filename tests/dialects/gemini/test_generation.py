"""What `generationConfig` asks of the answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types

from app.chat.request import Effort, JsonFormat
from app.dialects.gemini.generation import Generation, generation
from app.dialects.gemini.spelling import Members
from app.errors import InvalidRequest

PLACE = "generationConfig"
GOOGLE = {"type": "OBJECT", "properties": {"b": {"type": "STRING"}, "a": {"type": "INTEGER", "nullable": True}}}
OURS = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": ["integer", "null"]}}}
FORM = JsonFormat(json.dumps(OURS), strict=True)
LETTERS = {"type": "STRING", "enum": ["a", "b"]}
ENUM = JsonFormat('{"type": "string", "enum": ["a", "b"]}', strict=True)


def read(**config: object) -> Generation:
    """What these members ask for."""
    return generation(Members(config, PLACE))


def refused(**config: object) -> InvalidRequest:
    """The error for these members."""
    with pytest.raises(InvalidRequest) as caught:
        read(**config)
    return caught.value


def test_nothing_is_asked_for_by_default() -> None:
    """Neither without the config nor by an empty one."""
    assert [generation(None), read()] == [Generation()] * 2


@pytest.mark.parametrize(
    "config",
    [
        {"temperature": 0.5, "topP": 1, "topK": 64, "seed": 7, "presencePenalty": 1, "frequencyPenalty": -1},
        {"temperature": "hot", "topP": 99, "topK": 1.5},
        {"candidateCount": 1, "responseModalities": ["TEXT", "IMAGE"], "mediaResolution": "x", "logprobs": 3},
        {"candidate_count": 1.0, "response_modalities": "text", "speechConfig": {}, "x": 7},
        {"responseModalities": [], "responseMimeType": "", "thinkingConfig": {}},
    ],
)
def test_what_is_kimi_s_own_affair_is_not_looked_at(config: dict[str, Any]) -> None:
    """Clients send it with every request."""
    assert read(**config) == Generation()


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({"stopSequences": ["a", "b", "a"], "maxOutputTokens": 7}, Generation(stop=("a", "b"), max_tokens=7)),
        ({"stop_sequences": "a", "max_output_tokens": 1}, Generation(stop=("a",), max_tokens=1)),
    ],
)
def test_limits_are_read(config: dict[str, Any], asked: Generation) -> None:
    """In either spelling."""
    assert read(**config) == asked


@pytest.mark.parametrize(
    ("config", "form", "bare"),
    [
        ({"responseMimeType": "text/plain"}, None, False),
        ({"responseMimeType": "application/json"}, JsonFormat("{}"), False),
        ({"responseMimeType": "application/json", "responseSchema": GOOGLE}, FORM, False),
        ({"response_mime_type": "Application/JSON", "response_schema": GOOGLE}, FORM, False),
        ({"responseSchema": GOOGLE}, FORM, False),
        ({"responseMimeType": "application/json", "responseJsonSchema": OURS}, FORM, False),
        ({"response_json_schema": OURS, "responseSchema": {}}, FORM, False),
        ({"responseMimeType": "text/x.enum", "responseSchema": LETTERS}, ENUM, True),
    ],
)
def test_the_form_of_the_answer_is_read(config: dict[str, Any], form: JsonFormat | None, *, bare: bool) -> None:
    """A schema alone asks for JSON; JSON without one may be a list, as in Google's own examples."""
    assert read(**config) == Generation(form=form, bare=bare)


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({}, None),
        ({"thinkingBudget": -1}, None),
        ({"thinkingBudget": 0}, Effort.NONE),
        ({"thinkingBudget": 1}, Effort.LOW),
        ({"thinking_budget": 1024}, Effort.LOW),
        ({"thinkingBudget": 1025}, Effort.MEDIUM),
        ({"thinkingBudget": 8192}, Effort.MEDIUM),
        ({"thinkingBudget": 24576}, Effort.HIGH),
        ({"thinkingLevel": "MINIMAL"}, Effort.NONE),
        ({"thinkingLevel": "low"}, Effort.LOW),
        ({"thinkingLevel": "MEDIUM"}, Effort.MEDIUM),
        ({"thinking_level": "HIGH"}, Effort.HIGH),
        ({"thinkingLevel": "XHIGH"}, Effort.MAX),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED", "thinkingBudget": 0}, Effort.NONE),
        ({"thinkingLevel": "HIGH", "thinkingBudget": 0}, Effort.HIGH),
    ],
)
def test_how_much_to_think_is_read(thinking: dict[str, Any], effort: Effort | None) -> None:
    """From a budget of tokens, or from a level, which wins."""
    assert read(thinkingConfig=thinking) == Generation(effort=effort)


@pytest.mark.parametrize(
    ("thinking", "shows"),
    [
        ({"includeThoughts": True}, True),
        ({"include_thoughts": True}, True),
        ({"includeThoughts": False}, False),
        ({"includeThoughts": "yes"}, False),
        ({"thinkingBudget": -1}, False),
    ],
)
def test_thoughts_are_shown_to_who_asks_for_them(thinking: dict[str, Any], *, shows: bool) -> None:
    """As Google does."""
    assert read(thinking_config=thinking).shows_thoughts is shows


@pytest.mark.parametrize(
    ("config", "param"),
    [
        ({"candidateCount": 2}, "candidateCount"),
        ({"candidate_count": 0}, "candidate_count"),
        ({"candidateCount": True}, "candidateCount"),
        ({"responseModalities": ["AUDIO"]}, "responseModalities"),
        ({"response_modalities": "IMAGE"}, "response_modalities"),
        ({"continuationToken": "eA=="}, "continuationToken"),
        ({"maxOutputTokens": 0}, "maxOutputTokens"),
        ({"maxOutputTokens": "7"}, "maxOutputTokens"),
        ({"maxOutputTokens": True}, "maxOutputTokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"stopSequences": [""]}, "stopSequences[0]"),
        ({"stop_sequences": 7}, "stop_sequences"),
        ({"responseMimeType": "text/html"}, "responseMimeType"),
        ({"response_mime_type": 7}, "response_mime_type"),
        ({"responseMimeType": "text/x.enum"}, "responseSchema"),
        ({"responseMimeType": "text/plain", "responseSchema": GOOGLE}, "responseMimeType"),
        ({"responseSchema": "STRING"}, "responseSchema"),
        ({"response_schema": {"type": "NONSENSE"}}, "response_schema"),
        ({"responseJsonSchema": {"required": 7}}, "responseJsonSchema"),
        ({"thinkingConfig": 7}, "thinkingConfig"),
        ({"thinkingConfig": {"thinkingBudget": -2}}, "thinkingConfig.thinkingBudget"),
        ({"thinking_config": {"thinking_budget": "7"}}, "thinking_config.thinking_budget"),
        ({"thinkingConfig": {"thinkingLevel": "WILD"}}, "thinkingConfig.thinkingLevel"),
        ({"thinkingConfig": {"thinkingLevel": 7}}, "thinkingConfig.thinkingLevel"),
    ],
)
def test_what_kimi_cannot_do_is_refused(config: dict[str, Any], param: str) -> None:
    """Under the name that the client gave it."""
    error = refused(**config)
    assert error.param == f"{PLACE}.{param}"
    assert error.message.startswith(error.param)


@pytest.mark.parametrize("by_alias", [True, False])
def test_the_config_of_google_s_sdk_is_read(*, by_alias: bool) -> None:
    """In both spellings."""
    config = types.GenerationConfig(
        candidate_count=1,
        max_output_tokens=7,
        response_mime_type="application/json",
        response_schema=types.Schema(type=types.Type.ARRAY, items=types.Schema(type=types.Type.STRING)),
        stop_sequences=["a"],
        temperature=0.5,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW),
        top_k=40,
    )
    assert read(**config.model_dump(mode="json", exclude_none=True, by_alias=by_alias)) == Generation(
        form=JsonFormat('{"items": {"type": "string"}, "type": "array"}', strict=True),
        stop=("a",),
        max_tokens=7,
        effort=Effort.LOW,
        shows_thoughts=True,
    )
