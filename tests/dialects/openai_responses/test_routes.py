"""POST /v1/responses, and what there is about an answer afterwards, from door to door."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.accounts.credentials import Credential, parse_credentials
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from app.chat.request import ChatRequest, Continuation, Message, Role, ToolSpec, ToolUse
from app.errors import RateLimitExceeded, UpstreamTruncated
from app.gateway.answers import Answers
from app.gateway.gateway import Gateway
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import StateUnavailable
from tests.dialects.houses import CLIENT, Front
from tests.fakes import FakeExchange, FakeKimi, FakeStorage, jwt

PATH = "/v1/responses"
PNG = b"\x89PNG\r\n\x1a\n a picture"
UNKNOWN = "resp_" + "0" * 32


def answering(text: str = "hello", chat: str = "chat-1") -> FakeExchange:
    """An exchange that goes well."""
    return FakeExchange([Opened(chat)], [TextDelta(text)], [Finished()])


class Desk:
    """A client of one worker, that asks as the account `client` unless told otherwise."""

    def __init__(self, *exchanges: FakeExchange, front: Front | None = None, token: str = CLIENT) -> None:
        self.front = front or Front(FakeKimi(*exchanges), ttl=1800.0)
        self.kimi = self.front.kimi
        self._client: FlaskClient = self.front.client()
        self._headers = {"Authorization": f"Bearer {token}"}

    def post(self, path: str = PATH, session: str | None = None, **members: Any) -> TestResponse:  # noqa: ANN401 # fields of a body
        """Ask; the answer is over when this returns."""
        headers = self._headers | ({} if session is None else {"session-id": session})
        body = {"model": "gpt-4o", "input": "secret question", **members}
        response = self._client.post(path, json=body, headers=headers)
        assert response.data
        assert self.front.is_idle()
        return response

    def ask(self, **members: Any) -> dict[str, Any]:  # noqa: ANN401 # fields of a body
        """The Response to a question."""
        return response_of(self.post(**members))

    def get(self, path: str) -> TestResponse:
        """Look something up."""
        return self._client.get(path, headers=self._headers)

    def delete(self, path: str) -> TestResponse:
        """Have something forgotten."""
        return self._client.delete(path, headers=self._headers)


def events_of(response: TestResponse) -> list[dict[str, Any]]:
    """The events of a streamed answer."""
    lines = [line for line in response.text.split("\n") if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def response_of(answer: TestResponse) -> dict[str, Any]:
    """The Response of an answer, streamed or whole."""
    assert answer.status_code == 200, answer.text
    if answer.is_json:
        value: dict[str, Any] = answer.get_json()
        return value
    response: dict[str, Any] = events_of(answer)[-1]["response"]
    return response


def text_of(response: dict[str, Any]) -> str:
    """What a Response says."""
    return "".join(part["text"] for item in response["output"] for part in item.get("content", []))


def error_of(answer: TestResponse) -> list[object]:
    """Status, code and place of an error."""
    error = answer.get_json()["error"]
    return [answer.status_code, error["code"], error["param"]]


# --- An answer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PATH, "/responses", "/v1/v1/responses"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_question_is_answered(path: str, *, stream: bool) -> None:
    """Under the name of the model that was asked for, and an id of its own."""
    desk = Desk(answering())
    answer = response_of(desk.post(path, stream=stream))
    assert [text_of(answer), answer["model"], answer["status"]] == ["hello", "gpt-4o", "completed"]
    assert answer["id"].startswith("resp_")
    assert desk.kimi.asked[0].messages == (Message.of(Role.USER, "secret question"),)


def test_a_stream_is_answered_as_one() -> None:
    """From its first event to its last."""
    response = Desk(answering()).post(stream=True)
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["x-request-id"]
    types = [event["type"] for event in events_of(response)]
    assert [types[0], types[-1]] == ["response.created", "response.completed"]


@pytest.mark.parametrize("stream", [True, False])
def test_two_answers_have_two_ids(*, stream: bool) -> None:
    """Also where they are of one conversation that is kept."""
    desk = Desk(answering(), answering())
    answers = [desk.ask(stream=stream, conversation="chat-1") for _ in range(2)]
    assert len({answer["id"] for answer in answers}) == 2
    assert [answer["conversation"] for answer in answers] == [{"id": "chat-1"}] * 2


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("members", "told"), [({"conversation": "none"}, {"id": "chat-1"}), ({}, None)])
def test_a_conversation_is_told_only_where_it_is_kept(
    members: dict[str, object], told: dict[str, str] | None, *, stream: bool
) -> None:
    """Another one is deleted some time."""
    assert Desk(answering()).ask(stream=stream, **members)["conversation"] == told


@pytest.mark.parametrize(
    ("header", "key", "session"),
    [(None, None, None), ("one", None, "one"), (None, "two", "two"), ("one", "two", "one")],
)
def test_the_client_s_name_for_the_conversation_is_passed_on(
    header: str | None, key: str | None, session: str | None
) -> None:
    """From the header of Codex, or else from `prompt_cache_key`."""
    desk = Desk(answering())
    assert desk.post(session=header, prompt_cache_key=key).status_code == 200
    assert desk.kimi.asked[0].session == session


def test_the_tools_on_offer_are_passed_on() -> None:
    """A conversation goes on only where they are the same."""
    desk = Desk(answering())
    desk.ask(tools=[{"type": "function", "name": "f"}])
    assert desk.kimi.asked[0].tools == ToolUse((ToolSpec("f"),))


class Calling:
    """A gateway whose answers are one call of a tool."""

    def keeps(self, request: ChatRequest) -> bool:
        return False

    def answer(
        self, request: ChatRequest, credentials: Sequence[Credential], cancellation: Cancellation, *, insistent: bool
    ) -> Iterator[list[Event]]:
        yield [ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, "{}"), ToolCallEnd(0), Finished("tool_calls")]


@pytest.mark.parametrize("stream", [True, False])
def test_a_call_names_the_namespace_of_its_tool(*, stream: bool) -> None:
    """As the request had it."""
    front = Front(FakeKimi())
    front.door = replace(front.door, gateway=cast("Gateway", Calling()))
    space = {"type": "namespace", "name": "crm", "description": "", "tools": [{"type": "function", "name": "f"}]}
    (call,) = Desk(front=front).ask(stream=stream, tools=[space])["output"]
    assert {"type": "function_call", "call_id": "call_1", "name": "f", "namespace": "crm"}.items() <= call.items()


@pytest.mark.parametrize("stream", [True, False])
def test_an_early_failure_has_its_status(*, stream: bool) -> None:
    """In JSON, also where a stream was asked for."""
    response = Desk(FakeExchange([Failed(RateLimitExceeded("no"))])).post(stream=stream)
    assert error_of(response) == [429, "rate_limit_exceeded", None]
    assert response.headers["Retry-After"] == "30"


def test_a_late_failure_ends_the_stream() -> None:
    """No mark of success follows it, and nothing is kept of it."""
    desk = Desk(FakeExchange([Opened("chat-1")], [TextDelta("hello")], [Failed(UpstreamTruncated("cut"))]))
    response = desk.post(stream=True)
    *_, error, failed = events_of(response)
    assert [error["type"], failed["type"]] == ["error", "response.failed"]
    assert "response.completed" not in response.text
    assert error_of(desk.get(f"{PATH}/{failed['response']['id']}")) == [404, "not_found", None]


@pytest.mark.parametrize("key", ["short", ""])
def test_the_credential_is_looked_at_before_the_body(key: str) -> None:
    """Strangers learn nothing from the body's faults."""
    client = Front(FakeKimi()).client()
    assert client.post(PATH, data=b"{", headers={"Authorization": f"Bearer {key}"}).status_code == 401


@pytest.mark.parametrize("members", [{"input": []}, {"background": True}, {"prompt": {"id": "x"}}, {"input": [7]}])
def test_a_wrong_body_is_refused_before_anything_is_sent(members: dict[str, Any]) -> None:
    """Nobody's quota is spent on it."""
    desk = Desk(answering())
    assert desk.post(**members).status_code == 400
    assert desk.kimi.accounts == []


def test_what_is_attached_is_sent_along() -> None:
    """Kimi has it before it is asked."""
    front = Front(FakeKimi(answering()), storage=FakeStorage())
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    content = [{"type": "input_text", "text": "What is this?"}, {"type": "input_image", "image_url": url}]
    Desk(front=front).ask(input=[{"role": "user", "content": content}])
    (turn,) = front.kimi.turns
    assert [front.storage.kept[file_id].data for file_id in turn.files] == [PNG]


def test_a_bad_attachment_is_named() -> None:
    """By its place in the input."""
    content = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "file:///etc/passwd"}]
    response = Desk(answering()).post(input=[{"role": "user", "content": content}])
    assert error_of(response) == [400, "attachment_refused", "input[0].content[1]"]


def test_the_log_line_tells_of_the_answer_without_content(caplog: pytest.LogCaptureFixture) -> None:
    """Dialect, model, account, usage; neither question nor answer nor token."""
    caplog.set_level(logging.DEBUG)
    Desk(answering()).post(stream=True).close()
    (record,) = [record for record in caplog.records if record.name == "kimi_gateway.request"]
    fields = record.__dict__["fields"]
    assert {"dialect": "openai_responses", "model": "gpt-4o", "stream": True, "status": 200}.items() <= fields.items()
    assert fields["account"] == parse_credentials(CLIENT)[0].account[:12]
    everything = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert [word for word in ("secret question", "hello", CLIENT) if word in everything] == []


# --- Many turns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_an_unchanged_client_goes_on_in_its_conversation(*, stream: bool) -> None:
    """It sends its whole history with the items that it was given."""
    desk = Desk(answering(), answering())
    question = {"role": "user", "content": "a"}
    first = desk.ask(stream=stream, input=[question], store=False)
    desk.ask(stream=stream, input=[question, *first["output"], {"role": "user", "content": "b"}], store=False)
    assert desk.kimi.continued == [None, Continuation("chat-1", "message-1")]


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_goes_on_by_the_id_of_the_one_before(*, stream: bool) -> None:
    """In the same conversation of Kimi's, turn for turn."""
    desk = Desk(answering("one"), answering("two"), answering("three"))
    first = desk.ask(stream=stream, input="a")
    second = desk.ask(stream=stream, input="b", previous_response_id=first["id"])
    third = desk.ask(stream=stream, input="c", previous_response_id=second["id"])
    assert desk.kimi.continued == [None, *[Continuation("chat-1", "message-1")] * 2]
    assert [message.text for message in desk.kimi.asked[2].messages] == ["a", "one", "b", "two", "c"]
    assert [second["previous_response_id"], third["previous_response_id"]] == [first["id"], second["id"]]


def test_two_may_go_on_from_one_answer() -> None:
    """Each in a conversation of its own."""
    desk = Desk(answering("one"), answering("two"), answering("three", chat="chat-2"))
    first = desk.ask(input="a")
    for text in ("b", "c"):
        desk.ask(input=text, previous_response_id=first["id"])
    assert [message.text for message in desk.kimi.asked[2].messages] == ["a", "one", "c"]
    assert desk.kimi.continued == [None, Continuation("chat-1", "message-1"), None]


def test_instructions_are_not_inherited() -> None:
    """As in the vendor's own API."""
    desk = Desk(answering(), answering())
    first = desk.ask(instructions="Be kind.")
    desk.ask(previous_response_id=first["id"])
    roles = [[message.role for message in asked.messages] for asked in desk.kimi.asked]
    assert roles == [[Role.SYSTEM, Role.USER], [Role.USER, Role.ASSISTANT, Role.USER]]


def test_an_item_may_be_referred_to() -> None:
    """Vercel's SDK does so with all items of an answer that was stored."""
    desk = Desk(answering(), answering())
    question = {"role": "user", "content": "a"}
    first = desk.ask(input=[question])
    refers = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    desk.ask(input=[question, *refers, {"role": "user", "content": "b"}])
    assert desk.kimi.continued == [None, Continuation("chat-1", "message-1")]


def test_an_item_of_an_answer_that_is_not_known_is_refused() -> None:
    """What it said would be missing."""
    desk = Desk(answering(), answering())
    first = desk.ask(store=False)
    (item,) = first["output"]
    response = desk.post(input=[{"type": "item_reference", "id": item["id"]}, {"role": "user", "content": "b"}])
    assert error_of(response) == [404, "not_found", "input[0].id"]


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_is_not_known_cannot_be_gone_on_from(*, stream: bool) -> None:
    """One that was never given, not stored, or another account's; nothing is sent for it."""
    desk = Desk(answering(), answering())
    unstored, stored = desk.ask(stream=stream, store=False)["id"], desk.ask(stream=stream)["id"]
    stranger = Desk(front=desk.front, token=jwt(sub="stranger"))
    for who, name in ((desk, UNKNOWN), (desk, unstored), (stranger, stored)):
        response = who.post(stream=stream, previous_response_id=name)
        assert error_of(response) == [404, "not_found", "previous_response_id"]
        assert response.get_json()["error"]["message"] == f"Previous response with id '{name}' not found."
        assert response.headers["x-should-retry"] == "false"
    assert len(desk.kimi.asked) == 2


def test_an_answer_is_forgotten_with_its_conversation() -> None:
    """Half an hour after its last use."""
    desk = Desk(answering(), answering())
    first = desk.ask()["id"]
    desk.front.house.clock.advance(1700)
    second = desk.ask(previous_response_id=first)["id"]
    desk.front.house.clock.advance(1700)
    assert desk.get(f"{PATH}/{first}").status_code == 200
    desk.front.house.clock.advance(1900)
    assert error_of(desk.post(previous_response_id=second)) == [404, "not_found", "previous_response_id"]


# --- What there is about an answer -------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_can_be_told_again(*, stream: bool) -> None:
    """As it was told; not as a stream."""
    desk = Desk(answering())
    answer = desk.ask(stream=stream)
    response = desk.get(f"{PATH}/{answer['id']}")
    assert response.get_json() == answer
    assert response.headers["Content-Type"] == "application/json"
    assert desk.get(f"{PATH}/{answer['id']}?stream=false").status_code == 200
    assert error_of(desk.get(f"{PATH}/{answer['id']}?stream=true")) == [400, "invalid_request", "stream"]


def test_what_was_asked_can_be_listed() -> None:
    """What was new with the answer."""
    desk = Desk(answering(), answering())
    first = desk.ask(input="a")["id"]
    second = desk.ask(input=[{"role": "user", "content": "b"}], previous_response_id=first)["id"]
    (item,) = desk.get(f"{PATH}/{second}/input_items").get_json()["data"]
    assert item["content"] == [{"type": "input_text", "text": "b"}]
    assert error_of(desk.get(f"{PATH}/{second}/input_items?limit=x")) == [400, "invalid_request", "limit"]


def test_an_answer_can_be_forgotten() -> None:
    """Then nobody goes on from it."""
    desk = Desk(answering())
    name = desk.ask()["id"]
    told = {"id": name, "object": "response", "type": "response.deleted", "deleted": True}
    assert desk.delete(f"{PATH}/{name}").get_json() == told
    assert desk.delete(f"{PATH}/{name}").status_code == 404
    assert desk.get(f"{PATH}/{name}").status_code == 404
    assert desk.post(previous_response_id=name).status_code == 404


def test_an_answer_cannot_be_cancelled() -> None:
    """It is over when its id can be used."""
    desk = Desk(answering())
    name = desk.ask()["id"]
    assert error_of(desk.post(f"{PATH}/{name}/cancel")) == [400, "invalid_request", None]
    assert error_of(desk.post(f"{PATH}/{UNKNOWN}/cancel")) == [404, "not_found", None]


@pytest.mark.parametrize("path", [f"{PATH}/{UNKNOWN}", f"{PATH}/{UNKNOWN}/input_items", f"{PATH}/{'x' * 2000}"])
def test_what_is_not_known_is_not_found(path: str) -> None:
    """In the vendor's shape."""
    desk = Desk()
    assert error_of(desk.get(path)) == [404, "not_found", None]


def test_the_answers_of_others_are_not_told() -> None:
    """Nor forgotten."""
    desk = Desk(answering())
    name = desk.ask()["id"]
    stranger = Desk(front=desk.front, token=jwt(sub="stranger"))
    for response in (
        stranger.get(f"{PATH}/{name}"),
        stranger.get(f"{PATH}/{name}/input_items"),
        stranger.post(f"{PATH}/{name}/cancel"),
        stranger.delete(f"{PATH}/{name}"),
    ):
        assert response.status_code == 404
    assert desk.get(f"{PATH}/{name}").status_code == 200


def test_a_request_can_be_counted() -> None:
    """Without being sent, and with what it goes on from."""
    desk = Desk(answering())
    first = desk.ask(input="word " * 100)
    counts = [
        desk.post(f"{PATH}/input_tokens", input="a", **members).get_json()
        for members in ({}, {"instructions": "word " * 50}, {"previous_response_id": first["id"]}, {"model": "kimi"})
    ]
    assert {count["object"] for count in counts} == {"response.input_tokens"}
    numbers = [count["input_tokens"] for count in counts]
    assert numbers[0] == numbers[3] < numbers[1] < numbers[2]
    assert len(desk.kimi.asked) == 1


class Away(SqliteStore):
    """A store that takes nothing."""

    def put(self, *_: object, **__: object) -> None:
        raise StateUnavailable


@pytest.mark.parametrize("stream", [True, False])
def test_a_store_that_does_not_work_breaks_no_answer(*, stream: bool) -> None:
    """It cannot be referred to, and that is all."""
    front = Front(FakeKimi(answering()))
    front.answers = Answers(Away(MEMORY), ttl=1800.0)
    desk = Desk(front=front)
    answer = desk.ask(stream=stream)
    assert text_of(answer) == "hello"
    assert desk.get(f"{PATH}/{answer['id']}").status_code == 404
