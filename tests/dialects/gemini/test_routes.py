"""The calls of a model, from door to door."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from google.genai import types
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
)
from app.chat.request import ChatRequest, Continuation, Message, Role, ToolSpec
from app.errors import RateLimitExceeded, TokenExpired, UpstreamTruncated
from app.gateway.gateway import Gateway
from config.models import ModelEntry
from tests.dialects.houses import CLIENT, Front
from tests.fakes import FakeDownloads, FakeExchange, FakeKimi, jwt

MODEL = "/v1beta/models/gemini-pro"
WHOLE, ARRAY = f"{MODEL}:generateContent", f"{MODEL}:streamGenerateContent"
STREAM = f"{ARRAY}?alt=sse"
BODY: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "secret question"}]}]}
GOOGLE = {"x-goog-api-key": CLIENT, "x-goog-api-client": "google-genai-sdk/3.6.1"}
EVERY_WAY = pytest.mark.parametrize("path", [WHOLE, STREAM, ARRAY], ids=["whole", "events", "array"])


def answering(*events: Event) -> FakeExchange:
    """An exchange that goes well."""
    return FakeExchange([Opened("chat-1")], [*events] or [TextDelta("hello")], [Finished()])


def post(kimi: FakeKimi | Front, path: str = WHOLE, session: str | None = None, **members: object) -> TestResponse:
    """Ask; `session` is the client's name for the conversation."""
    front = kimi if isinstance(kimi, Front) else Front(kimi)
    headers = GOOGLE | ({} if session is None else {"X-Conversation-Id": session})
    return front.client().post(path, json={**BODY, **members}, headers=headers)


def answers(response: TestResponse) -> list[dict[str, Any]]:
    """What came, in whichever of the three forms."""
    text = response.text
    if text.startswith("data: "):
        return [json.loads(event.removeprefix("data: ")) for event in text.removesuffix("\n\n").split("\n\n")]
    value = json.loads(text)
    return value if isinstance(value, list) else [value]


def texts(response: TestResponse) -> str:
    """The text of an answer."""
    read = [types.GenerateContentResponse.model_validate(answer) for answer in answers(response)]
    return "".join(answer.text or "" for answer in read)


@EVERY_WAY
def test_a_question_is_answered(path: str) -> None:
    """Under the name of the model that was asked for."""
    kimi = FakeKimi(answering())
    response = post(kimi, path)
    assert [response.status_code, texts(response)] == [200, "hello"]
    assert {answer["modelVersion"] for answer in answers(response)} == {"gemini-pro"}
    assert answers(response)[-1]["candidates"][0]["finishReason"] == "STOP"
    assert answers(response)[-1]["usageMetadata"]["candidatesTokenCount"] == 1
    assert kimi.asked[0].messages == (Message.of(Role.USER, "secret question"),)


@pytest.mark.parametrize(
    ("path", "kind"),
    [(WHOLE, "application/json"), (ARRAY, "application/json"), (STREAM, "text/event-stream; charset=utf-8")],
)
def test_each_form_has_its_type(path: str, kind: str) -> None:
    """A proxy holds neither of the streams back."""
    response = post(FakeKimi(answering()), path)
    assert response.headers["Content-Type"] == kind
    assert (response.headers.get("X-Accel-Buffering") == "no") is (path != WHOLE)
    assert response.text[-1] == ("\n" if path == STREAM else "}" if path == WHOLE else "]")


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/kimi:generateContent", "kimi"),
        ("/v1/models/kimi:generateContent", "kimi"),
        ("/models/kimi:generateContent", "kimi"),
        ("/v1alpha/models/models/kimi:generateContent", "kimi"),
        ("/v1beta/models/org/some.model:free:generateContent", "org/some.model:free"),
        ("/v1beta/models/org%2Fsome.model:generateContent", "org/some.model"),
        ("/v1beta/tunedModels/mine:generateContent", "mine"),
        ("/v1/tunedModels/mine:generateContent", "mine"),
    ],
)
def test_the_model_stands_in_the_path(path: str, model: str) -> None:
    """With slashes and colons in it, under any version."""
    kimi = FakeKimi(answering())
    assert post(kimi, path).get_json()["modelVersion"] == model
    assert kimi.asked[0].model == model


@pytest.mark.parametrize(
    "path",
    [f"{MODEL}:embedContent", f"{MODEL}:batchGenerateContent", f"{MODEL}:", MODEL, "/v1beta/models/:generateContent"],
)
def test_what_a_model_cannot_be_asked_is_not_found(path: str) -> None:
    """In Google's shape."""
    kimi = FakeKimi()
    response = post(kimi, path)
    assert [response.status_code, response.get_json()["error"]["status"]] == [404, "NOT_FOUND"]
    assert kimi.accounts == []


def test_what_google_s_clients_ask_elsewhere_is_not_found_either() -> None:
    """Also under the version that their SDK for Python uses."""
    client = Front(FakeKimi()).client()
    for path in ("/v1/models/kimi:embedContent", "/v1beta/cachedContents", "/v1beta/models/kimi:embedContent"):
        response = client.post(path, json={}, headers=GOOGLE)
        assert [response.status_code, response.get_json()["error"]["status"]] == [404, "NOT_FOUND"]


def test_a_model_is_called_by_post() -> None:
    """A call by GET is not one model more."""
    response = Front(FakeKimi()).client().get(f"{MODEL}:generateContent", headers=GOOGLE)
    assert [response.status_code, response.get_json()["error"]["code"]] == [405, 405]


@pytest.mark.parametrize(
    "sent",
    [
        {"headers": GOOGLE},
        {"headers": {"Authorization": f"Bearer {CLIENT}"}},
        {"headers": {"x-api-key": CLIENT}},
        {"query_string": {"key": CLIENT}},
    ],
    ids=["Google's header", "bearer", "Anthropic's header", "address"],
)
def test_a_key_is_taken_wherever_clients_put_it(sent: dict[str, Any]) -> None:
    """Of the address only here."""
    client = Front(FakeKimi(answering())).client()
    assert client.post(WHOLE, json=BODY, **sent).status_code == 200


@pytest.mark.parametrize("verb", ["generateContent", "countTokens"])
def test_the_credential_is_looked_at_before_the_body(verb: str) -> None:
    """Strangers learn nothing from the body's faults."""
    response = Front(FakeKimi()).client().post(f"{MODEL}:{verb}", data=b"{")
    assert [response.status_code, response.get_json()["error"]["status"]] == [401, "UNAUTHENTICATED"]


@EVERY_WAY
@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"contents": []}, "contents"),
        ({"generation_config": {"candidate_count": 2}}, "generation_config.candidate_count"),
    ],
)
def test_a_wrong_body_is_refused_before_anything_is_sent(path: str, members: dict[str, Any], param: str) -> None:
    """With the name of the fault where Google's programs look for it."""
    kimi = FakeKimi(answering())
    response = post(kimi, path, **members)
    error = response.get_json()["error"]
    assert [response.status_code, error["code"], error["status"]] == [400, 400, "INVALID_ARGUMENT"]
    assert error["details"][0]["metadata"] == {"param": param}
    assert kimi.accounts == []


def test_a_name_that_is_none_is_refused() -> None:
    """It would be repeated in the answer."""
    response = post(FakeKimi(), "/v1beta/models/%0A:generateContent")
    assert [response.status_code, response.get_json()["error"]["status"]] == [400, "INVALID_ARGUMENT"]


@EVERY_WAY
def test_an_early_failure_has_its_status(path: str) -> None:
    """In JSON, also where a stream was asked for."""
    response = post(FakeKimi(FakeExchange([Failed(RateLimitExceeded("no"))])), path)
    error = response.get_json()["error"]
    assert [response.status_code, error["code"], error["status"]] == [429, 429, "RESOURCE_EXHAUSTED"]
    assert error["details"][1]["retryDelay"] == "30s"
    assert response.headers["Retry-After"] == "30"


@pytest.mark.parametrize("path", [STREAM, ARRAY])
def test_a_late_failure_is_told_in_the_stream(path: str) -> None:
    """As its last word; the array is one all the same."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta("hel")], [Failed(UpstreamTruncated("cut"))])
    response = post(FakeKimi(exchange), path)
    first, last = answers(response)
    assert [response.status_code, first["candidates"][0]["content"]["parts"]] == [200, [{"text": "hel"}]]
    assert [last["error"]["code"], last["error"]["status"], "finishReason" in response.text] == [
        502,
        "UNAVAILABLE",
        False,
    ]


@pytest.mark.parametrize(("agent", "broken"), [("GeminiCLI-tui/0.61.0/kimi (linux; x64)", True), ("curl/8.0", False)])
def test_the_connection_of_gemini_cli_breaks_off_behind_a_late_failure(agent: str, *, broken: bool) -> None:
    """It passes over the error itself, and takes any end of the stream for a good one."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta("hel")], [Failed(UpstreamTruncated("cut"))])
    server, client = socket.socketpair()
    with server, client:
        response = (
            Front(FakeKimi(exchange))
            .client()
            .post(
                STREAM,
                json={"contents": "hi"},
                headers={**GOOGLE, "User-Agent": agent},
                environ_overrides={"gunicorn.socket": server},
            )
        )
        assert '"error"' in response.text
        response.close()
        client.settimeout(0)
        if broken:
            assert client.recv(1) == b""
        else:
            with pytest.raises(BlockingIOError):
                client.recv(1)


@EVERY_WAY
@pytest.mark.parametrize(("conversation_id", "identity"), [("none", "chat-1"), ("chat-9", "chat-9")])
def test_the_id_of_a_kept_conversation_is_the_answer_s(path: str, conversation_id: str, identity: str) -> None:
    """It can be sent back to go on."""
    exchange = FakeExchange([Opened(identity)], [TextDelta("hello")], [Finished()])
    response = post(FakeKimi(exchange), path, conversation_id=conversation_id)
    assert {answer["responseId"] for answer in answers(response)} == {identity}


@EVERY_WAY
def test_two_answers_have_two_ids(path: str) -> None:
    """Clients keep answers by them."""
    assert len({answers(post(FakeKimi(answering()), path))[0]["responseId"] for _ in range(2)}) == 2


@EVERY_WAY
def test_an_unchanged_client_goes_on_in_its_conversation(path: str) -> None:
    """It gives its history back as it came, each chunk as a content."""
    kimi = FakeKimi(answering(TextDelta("hel"), TextDelta("lo")), answering())
    front = Front(kimi, ttl=1800.0)
    first = answers(post(front, path))
    assert front.is_idle()
    history = [*BODY["contents"], *(answer["candidates"][0]["content"] for answer in first)]
    assert texts(post(front, path, contents=[*history, {"parts": [{"text": "and now?"}]}])) == "hello"
    assert kimi.continued == [None, Continuation("chat-1", "message-1")]


def test_the_client_s_name_for_the_conversation_is_passed_on() -> None:
    """From a header."""
    kimi = FakeKimi(answering())
    assert post(kimi, session="one").status_code == 200
    assert kimi.asked[0].session == "one"


@EVERY_WAY
@pytest.mark.parametrize("shows", [True, False])
def test_thoughts_are_shown_where_they_are_asked_for(path: str, *, shows: bool) -> None:
    """And counted in any case."""
    config = {"thinkingConfig": {"include_thoughts": shows}}
    response = post(FakeKimi(answering(ThinkingDelta("hm"), TextDelta("hello"))), path, generationConfig=config)
    parts = [part for answer in answers(response) for part in answer["candidates"][0]["content"]["parts"]]
    assert ({"text": "hm", "thought": True} in parts) is shows
    assert texts(response) == "hello"
    assert answers(response)[-1]["usageMetadata"]["thoughtsTokenCount"] == 1


class Calling:
    """A gateway whose answers are one call of a tool."""

    def keeps(self, request: ChatRequest) -> bool:
        return False

    def answer(
        self, request: ChatRequest, credentials: Sequence[Credential], cancellation: Cancellation, *, insistent: bool
    ) -> Iterator[list[Event]]:
        assert request.tools.tools == (ToolSpec("f"),)
        yield [ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, '{"a":1}'), ToolCallEnd(0), Finished("tool_calls")]


@EVERY_WAY
def test_a_call_is_one_part(path: str) -> None:
    """Whole, with its id."""
    front = Front(FakeKimi())
    front.door = replace(front.door, gateway=cast("Gateway", Calling()))
    response = post(front, path, tools=[{"functionDeclarations": [{"name": "f"}]}])
    parts = [part for answer in answers(response) for part in answer["candidates"][0]["content"]["parts"]]
    assert parts[0] == {"functionCall": {"id": "call_1", "name": "f", "args": {"a": 1}}}


PNG = b"\x89PNG\r\n\x1a\n a picture"
PDF = b"%PDF-1.7 a document"
LINK = "https://files.example/report.pdf"


@EVERY_WAY
def test_what_is_attached_is_sent_along(path: str) -> None:
    """Bytes and what is behind a URL."""
    front = Front(FakeKimi(answering()), downloads=FakeDownloads({LINK: PDF}))
    parts = [
        {"text": "What is this?"},
        {"inlineData": {"mime_type": "image/png", "data": base64.urlsafe_b64encode(PNG).decode()}},
        {"fileData": {"file_uri": LINK, "mime_type": "application/pdf"}},
    ]
    assert texts(post(front, path, contents=[{"role": "user", "parts": parts}])) == "hello"
    (turn,) = front.kimi.turns
    assert [front.storage.kept[file_id].data for file_id in turn.files] == [PNG, PDF]


@pytest.mark.parametrize(
    "path", ["/v1beta/models/kimi:countTokens", "/models/kimi:countTokens", "/v1/models/a/b:countTokens"]
)
def test_tokens_are_counted_without_kimi(path: str) -> None:
    """Nobody's quota is spent on it."""
    kimi = FakeKimi(answering())
    front = Front(kimi)
    counted = post(front, path).get_json()
    read = types.CountTokensResponse.model_validate({"totalTokens": counted["totalTokens"]})
    assert counted["promptTokensDetails"] == [{"modality": "TEXT", "tokenCount": read.total_tokens}]
    assert kimi.accounts == []
    assert post(front).get_json()["usageMetadata"]["promptTokenCount"] == read.total_tokens


OFFERED = (ModelEntry(scenario="SCENARIO_K3", key="k3"),)


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1/models", "/models"])
def test_the_list_holds_the_models_of_the_account(path: str) -> None:
    """Where Google's key is, the list is Google's."""
    client = Front(FakeKimi(models=OFFERED)).client()
    listed = client.get(path, headers=GOOGLE).get_json()["models"]
    assert {"models/kimi", "models/kimi-k3"} <= {model["name"] for model in listed}
    assert "models/kimi-k2.5" not in {model["name"] for model in listed}


def test_the_list_has_pages() -> None:
    """One after the other."""
    client = Front(FakeKimi(models=OFFERED)).client()
    every = client.get("/v1beta/models", headers=GOOGLE).get_json()["models"]
    first = client.get("/v1beta/models?pageSize=2", headers=GOOGLE).get_json()
    token = first["nextPageToken"]
    rest = client.get(f"/v1beta/models?pageSize=1000&pageToken={token}", headers=GOOGLE).get_json()
    assert [*first["models"], *rest["models"]] == every


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1beta/models/gpt-4o", "models/gpt-4o"),
        ("/v1/models/a/b", "models/a/b"),
        ("/v1beta/models/models/kimi", "models/kimi"),
        ("/v1beta/tunedModels/mine", "models/mine"),
    ],
)
def test_any_model_is_there(path: str, name: str) -> None:
    """No request is refused for its model's name."""
    assert Front(FakeKimi()).client().get(path, headers=GOOGLE).get_json()["name"] == name


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1beta/models/kimi"])
def test_the_models_are_for_those_with_a_credential(path: str) -> None:
    """Clients check their key with it."""
    response = Front(FakeKimi()).client().get(path)
    assert [response.status_code, response.get_json()["error"]["status"]] == [401, "UNAUTHENTICATED"]


def test_a_dead_token_is_told() -> None:
    """With the status of its error."""
    client = Front(FakeKimi(), refusal=TokenExpired("no")).client()
    response = client.get("/v1beta/models", headers={"x-goog-api-key": jwt(typ="refresh")})
    assert [response.status_code, response.get_json()["error"]["details"][0]["reason"]] == [401, "TOKEN_EXPIRED"]
