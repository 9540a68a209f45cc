"""The Response object: what was asked, repeated, and what has come of it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from openai.types.responses import Response

from app.chat.events import Usage
from app.dialects.openai_responses.resource import Resource

ID = "resp_1"
CREATED = 1_700_000_000
USAGE = Usage(prompt=5, completion=3, reasoning=2)
PROMISED = {
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
    "instructions",
    "output",
    "error",
    "tools",
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "temperature",
    "reasoning",
    "usage",
    "max_output_tokens",
    "max_tool_calls",
    "store",
    "background",
    "service_tier",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
}
"""What openresponses wants of every one (conformance.md, section 3c)."""


def resource(**values: object) -> Resource:
    """The Response to these fields."""
    return Resource(ID, CREATED, {"model": "kimi", **values})


def told(response: dict[str, object]) -> dict[str, Any]:
    """A Response as it is written; it has to be one of the vendor's, and whole."""
    data = orjson.dumps(response)
    Response.model_validate_json(data, strict=True)
    value: dict[str, Any] = orjson.loads(data)
    assert value.keys() >= PROMISED
    return value


def begun(**values: object) -> dict[str, Any]:
    """A Response that has begun."""
    return told(resource(**values).begun())


def test_a_response_begins_with_what_was_asked() -> None:
    """All else is unknown."""
    assert begun() == {
        "id": ID,
        "object": "response",
        "created_at": CREATED,
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "conversation": None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "kimi",
        "output": [],
        "parallel_tool_calls": True,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
    }


OUTPUT: list[dict[str, object]] = [{"id": "rs_1", "type": "reasoning", "summary": []}]


def test_a_whole_response_has_its_output_and_usage() -> None:
    """Output tokens include those of the thinking."""
    done = told(resource().done(OUTPUT, USAGE, CREATED + 2.9, whole=True))
    assert [done["status"], done["completed_at"], done["output"]] == ["completed", CREATED + 2, OUTPUT]
    assert done["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 10,
    }


def test_a_response_that_a_limit_ended_says_so() -> None:
    """It has no time at which it was complete."""
    done = told(resource().done(OUTPUT, USAGE, CREATED + 1, whole=False))
    assert [done["status"], done["completed_at"]] == ["incomplete", None]
    assert done["incomplete_details"] == {"reason": "max_output_tokens"}
    assert done["usage"]["total_tokens"] == 10


def test_a_response_that_failed_says_why() -> None:
    """With what came of it."""
    error: dict[str, object] = {"code": "server_error", "message": "No."}
    failed = told(resource().failed(OUTPUT, error))
    assert [failed["status"], failed["error"], failed["output"]] == ["failed", error, OUTPUT]
    assert [failed["usage"], failed["completed_at"]] == [None, None]


def test_a_conversation_is_told_when_it_is_known() -> None:
    """In every form from then on."""
    response = resource()
    assert told(response.begun())["conversation"] is None
    response.conversation_id = "chat-1"
    assert told(response.begun())["conversation"] == {"id": "chat-1"}
    assert told(response.done([], USAGE, 0.0, whole=True))["conversation"] == {"id": "chat-1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instructions", "Be kind."),
        ("max_output_tokens", 7),
        ("max_tool_calls", 7),
        ("metadata", {"a": "b"}),
        ("parallel_tool_calls", False),
        ("previous_response_id", "resp_0"),
        ("prompt_cache_key", "a"),
        ("safety_identifier", "a"),
        ("user", "a"),
        ("store", False),
        ("temperature", 0),
        ("top_p", 0.5),
        ("presence_penalty", -2),
        ("frequency_penalty", 2),
        ("top_logprobs", 3),
        ("truncation", "auto"),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "name": "f"}),
        ("reasoning", {"effort": "high", "summary": "auto"}),
        ("text", {"format": {"type": "json_object"}, "verbosity": "low"}),
        ("tools", [{"type": "web_search"}, {"type": "custom", "name": "f"}]),
    ],
)
def test_what_was_asked_is_repeated(name: str, value: object) -> None:
    """As it was."""
    assert begun(**{name: value})[name] == value


@pytest.mark.parametrize(
    ("name", "value", "repeated"),
    [
        ("store", None, True),
        ("metadata", None, {}),
        ("prompt_cache_key", 7, None),
        ("user", ["a"], None),
        ("reasoning", {"effort": "low", "summary": "novel", "other": 1}, {"effort": "low", "summary": None}),
        ("reasoning", {"summary": []}, {"effort": None, "summary": None}),
        ("text", {}, {"format": {"type": "text"}, "verbosity": "medium"}),
        ("text", {"format": None, "verbosity": "loud"}, {"format": {"type": "text"}, "verbosity": "medium"}),
    ],
)
def test_what_means_nothing_has_its_default(name: str, value: object, repeated: object) -> None:
    """The vendor's types know no other."""
    assert begun(**{name: value})[name] == repeated


def test_a_schema_is_repeated_whole() -> None:
    """With the members that types want."""
    schema = {"type": "object", "properties": {"é": {"maximum": 2**70}}}
    form = {"type": "json_schema", "name": "answer", "schema": schema}
    asked = begun(text={"format": form})["text"]["format"]
    assert asked == {**form, "schema": json.loads(json.dumps(schema), parse_int=float), "description": None} | {
        "strict": False
    }


@pytest.mark.parametrize(
    "tool", [{"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}], ids=["flat", "nested"]
)
def test_a_function_is_repeated_flat_and_whole(tool: dict[str, object]) -> None:
    """However the client wrote it."""
    assert begun(tools=[tool])["tools"] == [
        {"type": "function", "name": "f", "description": None, "parameters": None, "strict": False}
    ]
    told_more = {"type": "function", "name": "f", "description": "a", "parameters": {"type": "object"}, "strict": True}
    assert begun(tools=[told_more])["tools"] == [told_more]


def test_a_namespace_is_repeated_as_it_is() -> None:
    """With the tools in it."""
    space = {"type": "namespace", "name": "crm", "description": "a", "tools": [{"type": "function", "name": "f"}]}
    assert begun(tools=[space])["tools"] == [space]
