"""POST /v1/chat/completions, from door to door."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from werkzeug.test import TestResponse

from app.accounts.credentials import Credential, parse_credentials
from app.attachments.intake import Spool
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from app.chat.request import ChatRequest, Continuation, Message, Role, ToolSpec, ToolUse
from app.errors import AttachmentRefused, RateLimitExceeded, RequestTooLarge
from app.gateway.gateway import Gateway
from tests.dialects.houses import CLIENT, Front
from tests.fakes import FakeDownloads, FakeExchange, FakeKimi

PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "secret question"}]}


def answering() -> FakeExchange:
    """An exchange that goes well."""
    return FakeExchange([Opened("chat-1")], [TextDelta("hello")], [Finished()])


def post(kimi: FakeKimi | Front, path: str = PATH, session: str | None = None, **members: object) -> TestResponse:
    """Ask; `session` is the client's name for the conversation."""
    front = kimi if isinstance(kimi, Front) else Front(kimi)
    headers = {"Authorization": f"Bearer {CLIENT}"} | ({} if session is None else {"X-Conversation-Id": session})
    return front.client().post(path, json={**BODY, **members}, headers=headers)


@pytest.mark.parametrize("path", [PATH, "/chat/completions"])
def test_a_question_is_answered(path: str) -> None:
    """Under the name of the model that was asked for."""
    kimi = FakeKimi(answering())
    answer = post(kimi, path).get_json()
    assert answer["choices"][0]["message"]["content"] == "hello"
    assert answer["model"] == "gpt-4o"
    assert answer["id"].startswith("chatcmpl-")
    assert kimi.asked[0].messages == (Message.of(Role.USER, "secret question"),)


def test_a_stream_is_answered_as_one() -> None:
    """With its end mark."""
    response = post(FakeKimi(answering()), stream=True)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["x-request-id"]
    assert '"content":"hello"' in response.text
    assert response.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
def test_two_answers_have_two_ids(*, stream: bool) -> None:
    """Clients keep answers by them."""
    texts = [post(FakeKimi(answering()), stream=stream).text.removeprefix("data: ").split("\n")[0] for _ in range(2)]
    assert len({json.loads(text)["id"] for text in texts}) == 2


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("conversation_id", "identity"), [("none", "chat-1"), ("chat-9", "chat-9")])
def test_the_id_of_a_kept_conversation_is_the_answer_s(conversation_id: str, identity: str, *, stream: bool) -> None:
    """It can be sent back to go on."""
    exchange = FakeExchange([Opened(identity)], [TextDelta("hello")], [Finished()])
    response = post(FakeKimi(exchange), stream=stream, conversation_id=conversation_id)
    assert f'"id":"{identity}"' in response.text


@pytest.mark.parametrize("stream", [True, False])
def test_the_conversation_is_deleted_after_the_answer(*, stream: bool) -> None:
    """By the time that the client has all of it, or soon after."""
    front = Front(FakeKimi(answering()))
    response = post(front, stream=stream)
    assert response.status_code == 200
    assert "hello" in response.text
    assert front.tidies_up()
    assert front.kimi.deleted == ["chat-1"]


@pytest.mark.parametrize("stream", [True, False])
def test_an_unchanged_client_goes_on_in_its_conversation(*, stream: bool) -> None:
    """It sends its whole history, as always; its answers still have ids of their own."""
    kimi = FakeKimi(answering(), answering())
    front = Front(kimi, ttl=1800.0)
    assert "hello" in post(front, stream=stream).text
    assert front.is_idle()
    history = [*BODY["messages"], {"role": "assistant", "content": "hello"}, {"role": "user", "content": "and now?"}]
    response = post(front, stream=stream, messages=history)
    assert "hello" in response.text
    assert "chatcmpl-" in response.text
    assert "chat-1" not in response.text
    assert kimi.continued == [None, Continuation("chat-1", "message-1")]


@pytest.mark.parametrize(
    ("header", "key", "session"),
    [(None, None, None), ("one", None, "one"), (None, "two", "two"), ("one", "two", "one"), ("a b", "two", "two")],
)
def test_the_client_s_name_for_the_conversation_is_passed_on(
    header: str | None, key: str | None, session: str | None
) -> None:
    """From a header, or else from `prompt_cache_key`."""
    kimi = FakeKimi(answering())
    assert post(kimi, session=header, prompt_cache_key=key).status_code == 200
    assert kimi.asked[0].session == session


def test_the_tools_on_offer_are_passed_on() -> None:
    """A conversation goes on only where they are the same."""
    kimi, tool = FakeKimi(answering()), {"type": "function", "function": {"name": "f"}}
    assert post(kimi, tools=[tool]).status_code == 200
    assert kimi.asked[0].tools == ToolUse((ToolSpec("f"),))


class Calling:
    """A gateway whose answers are one call of a tool."""

    def keeps(self, request: ChatRequest) -> bool:
        return False

    def answer(
        self, request: ChatRequest, credentials: Sequence[Credential], cancellation: Cancellation, *, insistent: bool
    ) -> Iterator[list[Event]]:
        yield [ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, "{}"), ToolCallEnd(0), Finished("tool_calls")]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("members", "field", "reason"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tool_calls", "tool_calls"),
        ({"functions": [{"name": "f"}]}, "function_call", "function_call"),
    ],
)
def test_a_call_is_told_in_the_words_of_the_request(
    members: dict[str, Any], field: str, reason: str, *, stream: bool
) -> None:
    """Old clients know no new ones."""
    front = Front(FakeKimi())
    front.door = replace(front.door, gateway=cast("Gateway", Calling()))
    text = post(front, stream=stream, **members).text
    assert f'"{field}":' in text
    assert f'"finish_reason":"{reason}"' in text
    assert ("call_1" in text) is (field == "tool_calls")


@pytest.mark.parametrize("stream", [True, False])
def test_an_early_failure_has_its_status(*, stream: bool) -> None:
    """In JSON, also where a stream was asked for."""
    response = post(FakeKimi(FakeExchange([Failed(RateLimitExceeded("no"))])), stream=stream)
    assert [response.status_code, response.get_json()["error"]["code"]] == [429, "rate_limit_exceeded"]
    assert response.headers["Retry-After"] == "30"


@pytest.mark.parametrize(("key", "status"), [("short", 401), ("", 401)])
def test_the_credential_is_looked_at_before_the_body(key: str, status: int) -> None:
    """Strangers learn nothing from the body's faults."""
    client = Front(FakeKimi()).client()
    response = client.post(PATH, data=b"{", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == status


def test_a_wrong_body_is_refused_before_anything_is_sent() -> None:
    """Nobody's quota is spent on it."""
    kimi = FakeKimi(answering())
    assert post(kimi, messages=[]).status_code == 400
    assert kimi.accounts == []


def test_the_log_line_tells_of_the_answer_without_content(caplog: pytest.LogCaptureFixture) -> None:
    """Dialect, model, account, usage; neither question nor answer nor token."""
    caplog.set_level(logging.DEBUG)
    response = post(FakeKimi(answering()), stream=True)
    assert response.data.endswith(b"[DONE]\n\n")
    response.close()
    (record,) = [record for record in caplog.records if record.name == "kimi_gateway.request"]
    fields = record.__dict__["fields"]
    assert {"dialect": "openai_chat", "model": "gpt-4o", "stream": True, "status": 200}.items() <= fields.items()
    assert fields["completion_tokens"] == 1
    assert fields["account"] == parse_credentials(CLIENT)[0].account[:12]
    assert fields["waited"] == 0.0
    everything = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "secret question" not in everything
    assert "hello" not in everything
    assert CLIENT not in everything


PNG = b"\x89PNG\r\n\x1a\n a picture"
PDF = b"%PDF-1.7 a document"
LINK = "https://files.example/report.pdf?signature=secret"


def written(data: bytes, kind: str) -> str:
    """Bytes as a data URL."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def asking(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """A message with these parts."""
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]


GOOD = {"type": "image_url", "image_url": {"url": written(PNG, "image/png")}}
REPORT = {"type": "file", "file_url": {"url": LINK}}


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_attached_is_sent_along(*, stream: bool) -> None:
    """A picture, a document behind a link, and text in base64: Kimi has them before it is asked."""
    front = Front(FakeKimi(answering()), downloads=FakeDownloads({LINK: (PDF, "report.pdf", "text/html")}))
    text = {"type": "file", "file": {"file_data": base64.b64encode(b"a,b\n").decode(), "filename": "table.csv"}}
    response = post(front, stream=stream, messages=asking(GOOD, REPORT, text))
    assert "hello" in response.text
    (turn,) = front.kimi.turns
    assert [front.storage.kept[file_id].data for file_id in turn.files] == [PNG, PDF, b"a,b\n"]
    kinds = [(kept.name, kept.media_type) for kept in map(front.storage.kept.__getitem__, turn.files)]
    assert kinds[1:] == [("report.pdf", "application/pdf"), ("table.csv", "text/csv")]
    assert kinds[0][1] == "image/png"
    assert "What is this?" in turn.text


@pytest.mark.parametrize(
    ("part", "code", "status"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,!"}}, "attachment_refused", 400),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "attachment_refused", 400),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,PGh0bWw+"}}, "attachment_refused", 400),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "attachment_refused", 400),
        ({"type": "image_url"}, "attachment_refused", 400),
        ({"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}, "attachment_refused", 400),
        ({"type": "file", "file": {"file_data": "QQ==", "filename": "../a.txt"}}, "attachment_refused", 400),
        ({"type": "file", "file": {"file_data": "QQ==", "filename": "a\x00.txt"}}, "attachment_refused", 400),
        ({"type": "file", "file": {"file_data": "QQ==", "filename": "a.pdf"}}, "attachment_refused", 400),
        ({"type": "file", "file_url": {"url": LINK + "&b"}, "filename": "../a.pdf"}, "attachment_refused", 400),
        ({"type": "file", "file_url": {"url": "http://127.0.0.1/"}}, "attachment_refused", 400),
        ({"type": "file", "file_url": {"url": "http://large.example/"}}, "request_too_large", 413),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file_not_found", 404),
        ({"type": "document", "source": {}}, "invalid_request", 400),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_one_bad_attachment_leaves_nothing_behind(
    part: dict[str, Any], code: str, status: int, *, stream: bool
) -> None:
    """It is named, also in a stream; those beside it are not sent either, because none could be taken back."""
    downloads = FakeDownloads({
        LINK: PDF,
        "http://127.0.0.1/": AttachmentRefused("The URL leads nowhere."),
        "http://large.example/": RequestTooLarge("The file is too large."),
    })  # fmt: skip
    front = Front(FakeKimi(answering()), downloads=downloads)
    response = post(front, stream=stream, messages=[*asking(GOOD), *asking(GOOD, REPORT, part, GOOD)])
    error = response.get_json()["error"]
    assert [response.status_code, error["code"]] == [status, code]
    assert error["param"].removesuffix(".type") == "messages[1].content[3]"
    assert [front.storage.uploads, front.kimi.turns] == [0, []]
    assert all(is_closed(spool) for spool in downloads.spools)
    assert "signature" not in response.text


def is_closed(spool: Spool) -> bool:
    """Whether the bytes of a spool have been let go."""
    try:
        spool.content(None, None)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_that_is_too_long_for_a_message_becomes_a_file(*, stream: bool) -> None:
    """The answer says so in a header; a shorter one's does not."""
    front = Front(FakeKimi(answering(), answering()), max_prompt=1000)
    long = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "word " * 300}]
    response = post(front, stream=stream, messages=long)
    assert "hello" in response.text
    assert response.headers["x-prompt"] == "file"
    ((file_id,),) = [turn.files for turn in front.kimi.turns]
    assert b"word " * 299 in front.storage.kept[file_id].data
    short = post(front, stream=stream)
    assert "hello" in short.text
    assert "x-prompt" not in short.headers


def test_the_log_tells_nothing_of_attachments(caplog: pytest.LogCaptureFixture) -> None:
    """Neither links nor names nor bytes."""
    caplog.set_level(logging.DEBUG)
    named = {"type": "file", "file": {"file_data": base64.b64encode(PDF).decode(), "filename": "my plan.pdf"}}
    front = Front(FakeKimi(answering()), downloads=FakeDownloads({LINK: PDF}))
    post(front, stream=True, messages=asking(REPORT, named)).close()
    everything = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "kimi_gateway.request" in everything
    for word in ("signature", "files.example", "my plan", "a document", base64.b64encode(PDF).decode()):
        assert word not in everything
