"""POST /v1/chat/completions, from door to door."""

from __future__ import annotations

import json
import logging

import pytest
from werkzeug.test import TestResponse

from app.chat.events import Failed, Finished, Opened, TextDelta
from app.chat.request import Message, Role
from app.errors import RateLimitExceeded
from tests.dialects.houses import CLIENT, application, doorstep
from tests.fakes import FakeExchange, FakeKimi

PATH = "/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "secret question"}]}


def answering() -> FakeExchange:
    """An exchange that goes well."""
    return FakeExchange([Opened("chat-1")], [TextDelta("hello")], [Finished()])


def post(kimi: FakeKimi, path: str = PATH, **members: object) -> TestResponse:
    """Ask."""
    headers = {"Authorization": f"Bearer {CLIENT}"}
    return application(doorstep(kimi)).test_client().post(path, json={**BODY, **members}, headers=headers)


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
    exchange = answering()
    response = post(FakeKimi(exchange), stream=stream)
    assert response.status_code == 200
    assert "hello" in response.text
    assert exchange.gone.wait(5)


@pytest.mark.parametrize("stream", [True, False])
def test_an_early_failure_has_its_status(*, stream: bool) -> None:
    """In JSON, also where a stream was asked for."""
    response = post(FakeKimi(FakeExchange([Failed(RateLimitExceeded("no"))])), stream=stream)
    assert [response.status_code, response.get_json()["error"]["code"]] == [429, "rate_limit_exceeded"]
    assert response.headers["Retry-After"] == "60"


@pytest.mark.parametrize(("key", "status"), [("short", 401), ("", 401)])
def test_the_credential_is_looked_at_before_the_body(key: str, status: int) -> None:
    """Strangers learn nothing from the body's faults."""
    client = application(doorstep(FakeKimi())).test_client()
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
    post(FakeKimi(answering()), stream=True).close()
    (record,) = [record for record in caplog.records if record.name == "kimi_gateway.request"]
    fields = record.__dict__["fields"]
    assert {"dialect": "openai_chat", "model": "gpt-4o", "stream": True, "status": 200}.items() <= fields.items()
    assert fields["completion_tokens"] == 1
    assert CLIENT not in str(fields["account"])
    everything = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "secret question" not in everything
    assert "hello" not in everything
    assert CLIENT not in everything
