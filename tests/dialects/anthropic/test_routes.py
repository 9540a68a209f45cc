"""POST /v1/messages and /v1/messages/count_tokens, from door to door."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from anthropic.types import Message as SdkMessage
from werkzeug.test import TestResponse

from app.accounts.credentials import Credential
from app.chat.cancellation import Cancellation
from app.chat.events import (
    Event,
    Failed,
    Finished,
    Opened,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from app.chat.request import ChatRequest, Continuation, Message, Role, ToolSpec, ToolUse
from app.errors import RateLimitExceeded, UpstreamBusy
from app.gateway.gateway import Gateway
from tests.dialects.anthropic.sdk import Sdk
from tests.dialects.houses import CLIENT, Front
from tests.fakes import FakeExchange, FakeKimi

PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
BODY: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 32_000,
    "messages": [{"role": "user", "content": "secret question"}],
}
BOTH_WAYS = pytest.mark.parametrize("stream", [True, False])


def answering() -> FakeExchange:
    """An exchange that goes well."""
    return FakeExchange([Opened("chat-1")], [TextDelta("hello")], [Finished()])


def post(
    kimi: FakeKimi | Front, path: str = PATH, headers: dict[str, str] | None = None, **members: object
) -> TestResponse:
    """Ask as the vendor's SDK does, with some other headers."""
    front = kimi if isinstance(kimi, Front) else Front(kimi)
    usual = {"x-api-key": CLIENT, "anthropic-version": "2023-06-01"}
    return front.client().post(path, json={**BODY, **members}, headers={**usual, **(headers or {})})


def started(response: TestResponse) -> dict[str, Any]:
    """The message with which a stream begins."""
    line = response.text.split("\n")[1].removeprefix("data: ")
    return cast("dict[str, Any]", json.loads(line)["message"])


@pytest.mark.parametrize("path", [PATH, f"{PATH}?beta=true", "/messages", "/v1/v1/messages"])
def test_a_question_is_answered(path: str) -> None:
    """Under the name of the model that was asked for."""
    kimi = FakeKimi(answering())
    response = post(kimi, path)
    answer = SdkMessage.model_validate_json(response.data, strict=True)
    assert [block.to_dict() for block in answer.content] == [{"type": "text", "text": "hello"}]
    assert [answer.model, answer.stop_reason] == ["claude-sonnet-4-5", "end_turn"]
    assert answer.id.startswith("msg_")
    assert kimi.asked[0].messages == (Message.of(Role.USER, "secret question"),)


@pytest.mark.parametrize("path", [PATH, f"{PATH}?beta=true"])
def test_a_stream_is_answered_as_one(path: str) -> None:
    """With its end mark."""
    response = post(FakeKimi(answering()), path, stream=True)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.text.endswith('event: message_stop\ndata: {"type":"message_stop"}\n\n')
    message = Sdk().streamed(response.data)
    assert message["content"] == [{"type": "text", "text": "hello"}]


@BOTH_WAYS
def test_two_answers_have_two_ids(*, stream: bool) -> None:
    """Clients keep answers by them."""
    responses = [post(FakeKimi(answering()), stream=stream) for _ in range(2)]
    ids = {started(response)["id"] if stream else response.get_json()["id"] for response in responses}
    assert len(ids) == 2


@BOTH_WAYS
@pytest.mark.parametrize(("conversation_id", "identity"), [("none", "chat-1"), ("chat-9", "chat-9")])
def test_the_id_of_a_kept_conversation_is_the_answer_s(conversation_id: str, identity: str, *, stream: bool) -> None:
    """It can be sent back to go on."""
    exchange = FakeExchange([Opened(identity)], [TextDelta("hello")], [Finished()])
    response = post(FakeKimi(exchange), stream=stream, conversation_id=conversation_id)
    assert f'"id":"{identity}"' in response.text


@BOTH_WAYS
def test_the_request_s_id_is_where_the_sdk_looks_for_it(*, stream: bool) -> None:
    """And where all other clients do; on errors, too."""
    for kimi in (FakeKimi(answering()), FakeKimi(FakeExchange([Failed(RateLimitExceeded("no"))]))):
        headers = post(kimi, stream=stream).headers
        assert headers["request-id"] == headers["x-request-id"]
    assert post(FakeKimi(), COUNT).headers["request-id"]


@BOTH_WAYS
def test_an_unchanged_client_goes_on_in_its_conversation(*, stream: bool) -> None:
    """It sends its whole history, as always; how it accounts for its requests is no part of that."""
    reads: list[list[Event]] = [
        [Opened("chat-1"), ThinkingDelta("hm")],
        [TextDelta("he"), ThinkingDelta("hm")],
        [TextDelta("llo"), Finished()],
    ]
    kimi = FakeKimi(FakeExchange(*reads), answering())
    front = Front(kimi, ttl=1800.0)
    response = post(front, stream=stream, system=accounted("1f0a2"))
    message = Sdk().streamed(response.data) if stream else response.get_json()
    assert front.is_idle()
    history = [
        *BODY["messages"],
        {"role": "assistant", "content": message["content"]},
        {"role": "user", "content": "and now?"},
    ]
    assert "hello" in post(front, stream=stream, messages=history, system=accounted("99b07")).text
    assert kimi.continued == [None, Continuation("chat-1", "message-1")]


def accounted(digits: str) -> list[dict[str, str]]:
    """Claude Code's system prompt: its first block is another in every request."""
    texts = [f"x-anthropic-billing-header: cc_version=2.1.197; cch={digits};", "You are an agent."]
    return [{"type": "text", "text": text} for text in texts]


@pytest.mark.parametrize(
    ("header", "user_id", "session"),
    [
        (None, "somebody", None),
        (None, "user_0f_session_two", "two"),
        ("one", "user_0f_session_two", "one"),
        ("a b", '{"session_id":"two"}', "two"),
    ],
)
def test_the_client_s_name_for_the_conversation_is_passed_on(
    header: str | None, user_id: str, session: str | None
) -> None:
    """From a header, or else from what Claude Code says of its user."""
    kimi = FakeKimi(answering())
    headers = {} if header is None else {"x-claude-code-session-id": header}
    assert post(kimi, headers=headers, metadata={"user_id": user_id}).status_code == 200
    assert kimi.asked[0].session == session


def test_the_tools_on_offer_are_passed_on() -> None:
    """A conversation goes on only where they are the same."""
    kimi = FakeKimi(answering())
    assert post(kimi, tools=[{"name": "f", "input_schema": {}}]).status_code == 200
    assert kimi.asked[0].tools == ToolUse((ToolSpec("f"),))


class Scripted:
    """A gateway whose answers are these events."""

    def __init__(self, *events: Event) -> None:
        self._events = [*events]

    def keeps(self, request: ChatRequest) -> bool:
        return False

    def answer(
        self, request: ChatRequest, credentials: Sequence[Credential], cancellation: Cancellation, *, insistent: bool
    ) -> Iterator[list[Event]]:
        yield self._events


def scripted(*events: Event) -> Front:
    """The doors before such a gateway."""
    front = Front(FakeKimi())
    front.door = replace(front.door, gateway=cast("Gateway", Scripted(*events)))
    return front


@BOTH_WAYS
def test_a_call_is_told(*, stream: bool) -> None:
    """In the vendor's words."""
    call: list[Event] = [ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, '{"a":1}'), ToolCallEnd(0)]
    response = post(scripted(*call, Usage(9, 4, 0), Finished("tool_calls")), stream=stream)
    sdk = Sdk()
    message = sdk.streamed(response.data) if stream else sdk.whole(response.data)
    assert message["content"] == [{"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}}]
    assert message["stop_reason"] == "tool_use"


@BOTH_WAYS
def test_who_switches_thinking_off_sees_none(*, stream: bool) -> None:
    """Also where the model thinks all the same."""
    events: list[Event] = [ThinkingDelta("hm"), TextDelta("a"), Finished()]
    assert "hm" in post(scripted(*events), stream=stream).text
    assert "hm" not in post(scripted(*events), stream=stream, thinking={"type": "disabled"}).text


# --- The count ---------------------------------------------------------------------------------------------


def test_a_request_is_counted_without_kimi() -> None:
    """A stream of it begins with the same count, and its answer has it, too."""
    kimi = FakeKimi(answering(), answering())
    front = Front(kimi)
    members: dict[str, Any] = {
        "system": "You are an agent.",
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }
    counts = [post(front, path, **members).get_json() for path in (COUNT, f"{COUNT}?beta=true")]
    assert [kimi.accounts, kimi.greeted] == [[], []]
    count = counts[0]["input_tokens"]
    assert counts == [{"input_tokens": count}] * 2
    assert count > 20
    assert started(post(front, stream=True, **members))["usage"]["input_tokens"] == count
    assert post(front, **members).get_json()["usage"]["input_tokens"] == count


def test_a_count_needs_no_limit() -> None:
    """It answers nothing."""
    front = Front(FakeKimi())
    body = {name: value for name, value in BODY.items() if name != "max_tokens"}
    response = front.client().post(COUNT, json=body, headers={"x-api-key": CLIENT})
    assert response.get_json()["input_tokens"] > 0


@pytest.mark.parametrize("path", [PATH, COUNT])
@pytest.mark.parametrize("key", [None, "short"])
def test_the_credential_is_looked_at_before_the_body(path: str, key: str | None) -> None:
    """Strangers learn nothing from the body's faults."""
    headers = {} if key is None else {"x-api-key": key}
    response = Front(FakeKimi()).client().post(path, data=b"{", headers=headers)
    assert [response.status_code, response.get_json()["error"]["type"]] == [401, "authentication_error"]


@pytest.mark.parametrize("path", [PATH, COUNT])
def test_a_wrong_body_is_refused_before_anything_is_sent(path: str) -> None:
    """Nobody's quota is spent on it."""
    kimi = FakeKimi(answering())
    response = post(kimi, path, messages=[])
    error = response.get_json()["error"]
    assert [response.status_code, error["type"], error["param"]] == [400, "invalid_request_error", "messages"]
    assert kimi.accounts == []


# --- Failures ----------------------------------------------------------------------------------------------


@BOTH_WAYS
@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [(RateLimitExceeded("no"), 429, "rate_limit_error"), (UpstreamBusy("no"), 529, "overloaded_error")],
)
def test_an_early_failure_has_its_status(
    error: RateLimitExceeded | UpstreamBusy, status: int, kind: str, *, stream: bool
) -> None:
    """In JSON, also where a stream was asked for; SDKs are told not to try at once."""
    response = post(FakeKimi(FakeExchange([Failed(error)])), stream=stream)
    assert [response.status_code, response.get_json()["error"]["type"]] == [status, kind]
    assert [response.headers["Retry-After"], response.headers["x-should-retry"]] == ["30", "false"]


def test_a_late_failure_is_told_in_the_stream() -> None:
    """With the request's id, and nothing behind it."""
    exchange = FakeExchange([Opened("chat-1"), TextDelta("hello")], [Failed(UpstreamBusy("Kimi is busy."))])
    response = post(FakeKimi(exchange), stream=True)
    assert response.status_code == 200
    event = response.text.rstrip("\n").split("\n\n")[-1]
    name, data = event.split("\n")
    assert name == "event: error"
    value = json.loads(data.removeprefix("data: "))
    assert [value["error"]["type"], value["request_id"]] == ["overloaded_error", response.headers["request-id"]]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", PATH, 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", 404, "not_found_error"),
        ("DELETE", COUNT, 405, "invalid_request_error"),
    ],
)
def test_what_is_not_here_is_told_in_the_vendor_s_shape(method: str, path: str, status: int, kind: str) -> None:
    """Clients show its message."""
    response = Front(FakeKimi()).client().open(path, method=method, headers={"x-api-key": CLIENT})
    body = response.get_json()
    assert [response.status_code, body["type"], body["error"]["type"]] == [status, "error", kind]


def test_the_log_line_tells_of_the_answer_without_content(caplog: pytest.LogCaptureFixture) -> None:
    """Dialect, model, usage; neither question nor answer nor token."""
    caplog.set_level(logging.DEBUG)
    response = post(FakeKimi(answering()), stream=True)
    assert "message_stop" in response.text
    response.close()
    (record,) = [record for record in caplog.records if record.name == "kimi_gateway.request"]
    fields = record.__dict__["fields"]
    assert {
        "dialect": "anthropic",
        "model": "claude-sonnet-4-5",
        "stream": True,
        "status": 200,
    }.items() <= fields.items()
    everything = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert not [word for word in ("secret question", "hello", CLIENT) if word in everything]


PNG = b"\x89PNG\r\n\x1a\n a picture"
PDF = b"%PDF-1.7 a document"


def in_base64(kind: str, data: bytes, media_type: str, **members: object) -> dict[str, object]:
    """An image or a document with its bytes."""
    source = {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    return {"type": kind, "source": source, **members}


@BOTH_WAYS
def test_what_is_attached_is_sent_along(*, stream: bool) -> None:
    """Pictures and documents; a text is part of the prompt."""
    front = Front(FakeKimi(answering()))
    note = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "All is well."}}
    content = [
        in_base64("image", PNG, "image/png"),
        in_base64("document", PDF, "application/pdf", title="Q3/Q4"),
        note,
        {"type": "text", "text": "What is this?"},
    ]
    assert "hello" in post(front, stream=stream, messages=[{"role": "user", "content": content}]).text
    (turn,) = front.kimi.turns
    kept = [front.storage.kept[file_id] for file_id in turn.files]
    assert [(file.data, file.media_type) for file in kept] == [(PNG, "image/png"), (PDF, "application/pdf")]
    assert kept[1].name == "Q3-Q4.pdf"
    assert "All is well." in turn.text


def test_a_bad_attachment_is_named() -> None:
    """By its block."""
    content = [{"type": "text", "text": "a"}, in_base64("image", b"<html>", "image/png")]
    response = post(FakeKimi(answering()), messages=[{"role": "user", "content": content}])
    error = response.get_json()["error"]
    assert [response.status_code, error["code"], error["param"]] == [
        400,
        "attachment_refused",
        "messages[0].content[1]",
    ]
