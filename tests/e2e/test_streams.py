"""The raw streams of all dialects: nothing in them that breaks a client, and no failure that looks like a success."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import GRACE, KEEPALIVE, QUICK
from tests.e2e.faults import Plan
from tests.e2e.stream_rules import RULES, Told
from tests.e2e.support import Door

pytestmark = pytest.mark.e2e

TEXT = "The sky is blue because light is scattered."
FIND: Plan = {"name": "find_city", "arguments": {"person": "Ann"}}
SOURCE = {"title": "Water", "url": "https://example.com/one", "siteName": "example.com", "snippet": "Wet."}
PERSON = {"type": "object", "properties": {"person": {"type": "string"}}, "required": ["person"]}

USER: list[dict[str, object]] = [{"role": "user", "content": "Hi"}]
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (
        "/v1/chat/completions",
        {
            "messages": USER,
            "tools": [{"type": "function", "function": {"name": "find_city", "parameters": PERSON}}],
            "stream_options": {"include_usage": True},
        },
    ),
    "responses": (
        "/v1/responses",
        {"input": "Hi", "tools": [{"type": "function", "name": "find_city", "parameters": PERSON}]},
    ),
    "anthropic": (
        "/v1/messages",
        {"messages": USER, "max_tokens": 1000, "tools": [{"name": "find_city", "input_schema": PERSON}]},
    ),
    "gemini": (
        "/v1beta/models/kimi:streamGenerateContent?alt=sse",
        {
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "tools": [{"functionDeclarations": [{"name": "find_city", "parametersJsonSchema": PERSON}]}],
            "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
        },
    ),
}
DIALECTS = list(REQUESTS)


def streamed(door: Door, dialect: str, **fields: object) -> Told:
    """What a stream in a dialect says, by the rules of its clients."""
    path, body = REQUESTS[dialect]
    wanted = {"model": "kimi", "stream": True} if dialect != "gemini" else {}
    reply = door.gateway.request("POST", path, token=door.token, body={**wanted, **body, **fields})
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert reply.headers["cache-control"] == "no-cache, no-transform"
    return RULES[dialect](reply.body)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("plan", "text"),
    [
        ({"text": TEXT}, TEXT),
        ({"text": TEXT, "thinking": "Light is scattered."}, TEXT),
        ({"text": "Water is wet{{cite:0}}.", "search": [SOURCE]}, "Water is wet."),
        ({"act": {"say": "I look.", "calls": [FIND, FIND]}}, "I look."),
        ({"act": {"calls": [FIND]}, "thinking": "I look."}, ""),
        ({"text": TEXT, "first_delay": GRACE + KEEPALIVE * 1.5}, TEXT),
    ],
    ids=["text", "thinking", "search", "calls", "call alone", "slow"],
)
def test_a_whole_answer_has_all_that_its_clients_need(door: Door, dialect: str, plan: Plan, text: str) -> None:
    """And nothing that one of them breaks on."""
    door.guest.plan(plan)
    told = streamed(door, dialect, use_search="search" in plan)
    assert (told.whole, told.text.strip(), told.error) == (True, text, None)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("after", [8, 14], ids=["in the text", "later"])
def test_an_answer_that_is_cut_off_never_looks_finished(door: Door, dialect: str, after: int) -> None:
    """Its end is an error, with nothing behind it."""
    door.guest.plan({"text": TEXT * 3, "faults": {"cut_after": after}})
    told = streamed(door, dialect)
    assert not told.whole
    assert told.error
    assert told.text
    assert (TEXT * 3).startswith(told.text)
    assert door.guest.all_deleted()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_next_answer_is_whole_again(connect: Door, dialect: str) -> None:
    """A failure leaves nothing behind."""
    connect.guest.plan({"text": TEXT, "faults": {"cut_after": 10}}, {"text": QUICK})
    assert not streamed(connect, dialect).whole
    assert streamed(connect, dialect) == Told(whole=True, text=QUICK)
