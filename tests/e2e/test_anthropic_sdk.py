"""The official Anthropic SDK, strict about what it is answered, over both protocols of Kimi."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from anthropic import (
    Anthropic,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    DefaultHttpxClient,
    GatewayTimeoutError,
    InternalServerError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    RateLimitError,
    ServiceUnavailableError,
)
from anthropic.types import Message
from pydantic import BaseModel

from tests.e2e.attachments import document, picture
from tests.e2e.conftest import GRACE, NewGuest
from tests.e2e.faults import EITHER, Plan, trailer
from tests.e2e.support import Door, Gateway, until

pytestmark = pytest.mark.e2e

TEXT = "The sky is blue because short waves of light are scattered more than long ones."
THINKING = "The user asks about the sky. Rayleigh scattering is the answer."
HI: list[Any] = [{"role": "user", "content": "Why is the sky blue?"}]
TOOLS: list[Any] = [
    {
        "name": "find_city",
        "description": "Find the city that a person lives in.",
        "input_schema": {"type": "object", "properties": {"person": {"type": "string"}}, "required": ["person"]},
    },
    {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
]
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # all is plain HTTP here


@contextmanager
def sdk_of(gateway: Gateway, token: str | None = None, **options: Any) -> Iterator[Anthropic]:  # noqa: ANN401 # the SDK's
    """The SDK's client for one gateway, by default with its key and without retries."""
    with Anthropic(
        base_url=gateway.server.url,
        http_client=DefaultHttpxClient(trust_env=False, verify=_NO_AUTHORITIES),
        _strict_response_validation=True,
        **{"api_key": token, "max_retries": 0, **options},
    ) as client:
        yield client


@pytest.fixture
def sdk(door: Door) -> Iterator[Anthropic]:
    """Enter over each protocol in turn."""
    with sdk_of(door.gateway, door.token) as client:
        yield client


@pytest.fixture
def native_sdk(native: Door) -> Iterator[Anthropic]:
    """Enter over each protocol in turn where conversations are continued."""
    with sdk_of(native.gateway, native.token) as client:
        yield client


@pytest.fixture
def connect_sdk(connect: Door) -> Iterator[Anthropic]:
    """Enter over the Connect protocol."""
    with sdk_of(connect.gateway, connect.token) as client:
        yield client


def asked(client: Anthropic, *, stream: bool = False, **fields: Any) -> Message:  # noqa: ANN401 # the SDK's
    """Ask, and give the whole message; of a stream that which the SDK puts together."""
    fields = {"model": "kimi", "max_tokens": 1024, "messages": HI, **fields}
    if not stream:
        message: Message = client.messages.create(**fields)
        return message
    with client.messages.stream(**fields) as answer:
        return answer.get_final_message()


def content_of(message: Message) -> list[tuple[str, object]]:
    """What each block says."""
    keys = {"text": "text", "thinking": "thinking", "tool_use": "input"}
    return [(block.type, getattr(block, keys[block.type])) for block in message.content]


def text_of(message: Message) -> str:
    """All text of a message."""
    return "".join(block.text for block in message.content if block.type == "text")


# --- Answers -----------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_an_answer(door: Door, sdk: Anthropic, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """It holds Kimi's text, repeats the model's name, and has an id where the SDK looks for it."""
    door.guest.plan({"text": TEXT})
    message = asked(sdk, stream=stream, model="claude-sonnet-9")
    assert content_of(message) == [("text", TEXT)]
    assert [message.role, message.model, message.stop_reason] == ["assistant", "claude-sonnet-9", "end_turn"]
    assert message.id.startswith("msg_")
    assert stream or message._request_id
    assert door.guest.asked_text() == "Why is the sky blue?"


@BOTH_WAYS
def test_thinking_comes_before_the_text(door: Door, sdk: Anthropic, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """In a block of its own, which is signed."""
    door.guest.plan({"text": TEXT, "thinking": THINKING})
    message = asked(sdk, stream=stream, thinking={"type": "enabled", "budget_tokens": 1024})
    assert content_of(message) == [("thinking", THINKING), ("text", TEXT)]
    assert getattr(message.content[0], "signature", "")
    assert message.usage.output_tokens_details is not None
    assert 8 <= message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens


@BOTH_WAYS
def test_thinking_that_was_switched_off_is_not_seen(door: Door, sdk: Anthropic, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Many programs read the first block as the answer."""
    door.guest.plan({"text": TEXT, "thinking": THINKING})
    assert content_of(asked(sdk, stream=stream, thinking={"type": "disabled"})) == [("text", TEXT)]


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({}, {"thinking": False}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"thinking": True}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, {"thinking": True}),
        ({"model": "kimi-thinking"}, {"thinking": True}),
        ({"model": "kimi-thinking", "thinking": {"type": "adaptive"}}, {"thinking": True}),
        ({"model": "kimi-thinking", "thinking": {"type": "disabled"}}, {"thinking": False}),
        ({"model": "kimi-k3", "output_config": {"effort": "high"}}, {"reasoning_effort": "REASONING_EFFORT_HIGH"}),
        ({"model": "kimi-k3", "output_config": {"effort": "max"}}, {"reasoning_effort": "REASONING_EFFORT_MAX"}),
    ],
)
def test_kimi_is_asked_to_think(
    connect: Door, connect_sdk: Anthropic, fields: dict[str, Any], options: dict[str, object]
) -> None:
    """As much as the client asks for."""
    asked(connect_sdk, **fields)
    sent = connect.guest.asked()["options"]
    assert {name: sent.get(name) for name in options} == options


def test_the_events_of_a_stream(connect: Door) -> None:
    """Each has its name; silence is filled with pings, after the message has begun."""
    connect.guest.plan({"text": "Blue.", "piece": 0, "silent_after_headers": GRACE + 0.5})
    body = {"model": "kimi", "max_tokens": 9, "messages": HI, "stream": True}
    with connect.gateway.stream("POST", "/v1/messages?beta=true", token=connect.token, body=body) as stream:
        assert stream.response.status == 200
        assert stream.response.headers["request-id"] == stream.response.headers["x-request-id"]
        lines = [piece.line for piece in stream.pieces()]
    names = [line.removeprefix("event: ") for line in lines[::2]]
    assert [json.loads(line.removeprefix("data: "))["type"] for line in lines[1::2]] == names
    assert names[:2] == ["message_start", "ping"]
    assert [name for name in names if name != "ping"] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@BOTH_WAYS
def test_the_beta_is_the_same(connect: Door, connect_sdk: Anthropic, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """As Claude Code asks: with what concerns the vendor's own service, and a system message behind all."""
    connect.guest.plan({"text": TEXT})
    fields: dict[str, Any] = {
        "model": "claude-opus-9",
        "max_tokens": 9999,
        "betas": ["mid-conversation-system-2026-04-07", "context-management-2025-06-27"],
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.a2b; cch=00000;"},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [*HI, {"role": "system", "content": "It is Monday."}],
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": '{"device_id":"d","account_uuid":"","session_id":"s"}'},
    }
    if stream:
        with connect_sdk.beta.messages.stream(**fields) as answer:
            message = answer.get_final_message()
    else:
        message = connect_sdk.beta.messages.create(**fields)
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": TEXT}]
    text = connect.guest.asked_text()
    assert text.endswith("Why is the sky blue?")
    assert [word in text for word in ("Be brief.", "It is Monday.", "x-anthropic")] == [True, True, False]


@BOTH_WAYS
def test_stop_sequences_and_limits(connect: Door, connect_sdk: Anthropic, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """The reason tells which it was."""
    connect.guest.plan({"text": "One. Two. Three."}, {"text": "word " * 200})
    stopped = asked(connect_sdk, stream=stream, stop_sequences=["Three", " Two"])
    assert [text_of(stopped), stopped.stop_reason, stopped.stop_sequence] == ["One.", "stop_sequence", " Two"]
    cut = asked(connect_sdk, stream=stream, max_tokens=20)
    assert [cut.stop_reason, cut.usage.output_tokens <= 21] == ["max_tokens", True]


class Forecast(BaseModel):
    """What the SDK parses."""

    city: str
    days: int


def test_the_sdk_parses_its_own_types(door: Door, sdk: Anthropic) -> None:
    """`parse` sends a schema, whole and as a stream."""
    door.guest.plan({"text": 'Here: {"city": "Oslo", "days": 2}'}, {"text": '{"city": "Oslo", "days": 2}'})
    fields: dict[str, Any] = {"model": "kimi", "max_tokens": 99, "messages": HI, "output_format": Forecast}
    assert sdk.messages.parse(**fields).parsed_output == Forecast(city="Oslo", days=2)
    with sdk.messages.stream(**fields) as answer:
        assert answer.get_final_message().parsed_output == Forecast(city="Oslo", days=2)


# --- The count and the models ------------------------------------------------------------------------------


def test_the_count_is_that_with_which_a_stream_begins(door: Door, sdk: Anthropic) -> None:
    """Kimi is not asked for it."""
    history: list[Any] = [
        *HI,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": THINKING, "signature": "s"},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain."}]},
    ]
    fields: dict[str, Any] = {"model": "kimi", "messages": history, "tools": TOOLS, "system": "Be brief."}
    count = sdk.messages.count_tokens(**fields).input_tokens
    assert sdk.beta.messages.count_tokens(**fields).input_tokens == count
    assert [door.guest.calls(), count > 60] == [[], True]
    with sdk.messages.create(**fields, max_tokens=99, stream=True) as stream:
        first, *_, last, _ = stream
    assert first.type == "message_start"
    assert first.message.usage.input_tokens == count
    assert last.type == "message_delta"
    assert last.usage.input_tokens == count
    assert asked(sdk, **fields).usage.input_tokens == count


def test_the_models_are_listed(connect_sdk: Anthropic) -> None:
    """By pages, forwards; any model is there."""
    names = [model.id for model in connect_sdk.models.list(limit=1000)]
    assert {"kimi", "kimi-k3"} <= set(names)
    assert [model.id for model in connect_sdk.models.list(limit=3)] == names
    assert connect_sdk.models.retrieve("claude-sonnet-9").id == "claude-sonnet-9"


# --- Conversations -----------------------------------------------------------------------------------------


@BOTH_WAYS
def test_a_conversation_is_one_of_kimi_s(native: Door, native_sdk: Anthropic, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """The whole history goes with every question, thinking and accounting included; only what is new is sent on."""
    history: list[Any] = []
    answers = []
    for number in range(1, 5):
        native.guest.plan({"text": f"Answer {number}, and more.", "thinking": THINKING})
        history.append({"role": "user", "content": [{"type": "text", "text": f"Question {number}?"}]})
        header = f"x-anthropic-billing-header: cch=0000{number};"
        system = [{"type": "text", "text": text} for text in (header, "Be brief.")]
        message = asked(native_sdk, stream=stream, messages=history, system=system, thinking={"type": "adaptive"})
        answers.append(text_of(message))
        history.append({"role": "assistant", "content": message.content})
    assert answers == [f"Answer {number}, and more." for number in range(1, 5)]
    assert len(native.guest.chats()) == 1
    first, *others = native.guest.asked_texts()
    assert "Be brief." in first
    assert others == ["Question 2?", "Question 3?", "Question 4?"]


def test_a_kept_conversation_is_continued_by_its_id(connect: Door, connect_sdk: Anthropic) -> None:
    """It is the message's."""
    connect.guest.plan({"text": "One."}, {"text": "Two."})
    first = asked(connect_sdk, extra_body={"conversation_id": "none"})
    second = asked(connect_sdk, stream=True, extra_body={"conversation_id": first.id})
    assert [first.id, second.id] == [connect.guest.chats()[0]["id"]] * 2
    assert len(connect.guest.chats()) == 1


# --- Tools -------------------------------------------------------------------------------------------------

STEPS = (
    {"act": {"say": "Let me see.", "calls": [{"name": "find_city", "arguments": {"person": "Ann"}}]}},
    {"act": {"calls": [{"name": "weather", "arguments": {"city": "{{result:find_city}}", "days": 2}}]}},
    {"act": {"say": "It is: {{result:weather}}."}},
)


def run_tool(name: str, given: dict[str, Any]) -> str:
    """What the client's tools give."""
    return f"Home of {given['person']}" if name == "find_city" else f"Rain in {given['city']}"


def worked(client: Anthropic, reminder: list[Any], *, stream: bool) -> tuple[list[str | None], str]:
    """Run the tools that the model calls until it answers in words; give the reasons of the ends, and the last text.

    `reminder` is what the client puts behind the messages of its own.
    """
    history: list[Any] = [{"role": "user", "content": "How is the weather where Ann lives?"}, *reminder]
    reasons: list[str | None] = []
    while True:
        message = asked(client, stream=stream, messages=history, tools=TOOLS)
        reasons.append(message.stop_reason)
        calls = [block for block in message.content if block.type == "tool_use"]
        if not calls:
            return reasons, text_of(message)
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": run_tool(call.name, call.input)}
            for call in calls
        ]
        history += [
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": results},
            *reminder,
        ]


@BOTH_WAYS
def test_a_task_of_two_tools_is_done_in_three_steps(door: Door, sdk: Anthropic, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Each result reaches the model, and what it makes of it the next tool."""
    door.guest.plan(*STEPS)
    assert worked(sdk, [], stream=stream) == (["tool_use", "tool_use", "end_turn"], "It is: Rain in Home of Ann.")


@pytest.mark.parametrize(
    "reminder", [[], [{"role": "system", "content": "<total_tokens>9 tokens left</total_tokens>"}]]
)
@BOTH_WAYS
def test_a_task_goes_on_in_one_conversation(
    native: Door,
    native_sdk: Anthropic,
    reminder: list[Any],
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """Also where the client reminds of something behind every message, as Claude Code does."""
    native.guest.plan(*STEPS)
    assert worked(native_sdk, reminder, stream=stream)[1] == "It is: Rain in Home of Ann."
    first, *others = native.guest.asked_texts()
    assert len(native.guest.chats()) == 1
    assert "Tell the weather of a city." in first
    assert [("Tell the weather" in text, "<result:" in text) for text in others] == [(False, True)] * 2


def test_a_call_that_is_demanded_comes(door: Door, sdk: Anthropic) -> None:
    """Alone, if there may be one."""
    door.guest.plan({"act": {"calls": [{"name": "find_city", "arguments": {"person": name}} for name in ("A", "B")]}})
    choice = {"type": "tool", "name": "find_city", "disable_parallel_tool_use": True}
    message = asked(sdk, tools=TOOLS, tool_choice=choice)
    assert content_of(message) == [("tool_use", {"person": "A"})]
    assert "Tell the weather" not in door.guest.asked_text()


def test_the_vendor_s_own_tools_are_called(connect: Door, connect_sdk: Anthropic) -> None:
    """Those that the client runs; it sends their type alone."""
    connect.guest.plan({"act": {"calls": [{"name": "bash", "arguments": {"command": "ls"}}]}})
    message = asked(connect_sdk, tools=[{"type": "bash_20250124", "name": "bash"}])
    assert content_of(message) == [("tool_use", {"command": "ls"})]


def test_a_failed_tool_is_told_of(connect: Door, connect_sdk: Anthropic) -> None:
    """The model sees that it failed, and what it said."""
    history = [
        *HI,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "weather", "input": {}}]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": True, "content": "No such city."}],
        },
    ]
    asked(connect_sdk, messages=history, tools=TOOLS)
    result = connect.guest.asked_text().split("<result:")[-1]
    assert 'status="error"' in result
    assert "No such city." in result


# --- Attachments and search --------------------------------------------------------------------------------


def test_pictures_and_documents_reach_kimi(door: Door, sdk: Anthropic) -> None:
    """In a message as in the result of a tool."""
    photo, report, shot = picture(), document(), picture()
    source = {"type": "base64", "media_type": "image/png"}
    content = [
        {"type": "image", "source": {**source, "data": photo.base64}},
        {
            "type": "document",
            "title": "Q3/Q4",
            "source": {**source, "media_type": "application/pdf", "data": report.base64},
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "All is well."}},
        {"type": "text", "text": "What is this?"},
    ]
    result = [{"type": "image", "source": {**source, "data": shot.base64}}]
    history = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "find_city", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": result}]},
    ]
    assert text_of(asked(sdk, messages=history, tools=TOOLS))
    files = {file["sha256"]: file["name"] for file in door.guest.files()}
    assert files.keys() == {sample.sha256 for sample in (photo, report, shot)}
    assert files[report.sha256] == "Q3-Q4.pdf"
    assert "All is well." in door.guest.asked_text()


@BOTH_WAYS
def test_a_search_is_cited(door: Door, sdk: Anthropic, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """In the block of the text; Kimi is told to search."""
    page = {"title": "Water", "url": "https://example.com/one", "siteName": "example.com", "snippet": "Wet."}
    door.guest.plan({"text": "Water is wet{{cite:0}}.", "search": [page]})
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    message = asked(sdk, stream=stream, tools=[search], tool_choice={"type": "tool", "name": "web_search"})
    (block,) = message.content
    assert block.type == "text"
    cited = [(getattr(one, "url", None), getattr(one, "title", None)) for one in block.citations or []]
    assert [block.text, cited] == ["Water is wet.", [("https://example.com/one", "Water")]]
    sent = door.guest.asked()
    assert sent["use_search"] if "use_search" in sent else "TOOL_TYPE_SEARCH" in str(sent["tools"])


# --- Failures ----------------------------------------------------------------------------------------------

PLAIN = {case.name: case.plan for case in EITHER}
OVERLOAD: Plan = {"faults": {"overload_trailer": True}}


class Refusal(NamedTuple):
    """What Kimi does, and what the SDK makes of it."""

    plan: Plan
    kind: type[APIStatusError]
    status: int
    type: str


REFUSALS = [
    Refusal(trailer("invalid_argument"), BadRequestError, 400, "invalid_request_error"),
    Refusal(trailer("unauthenticated", "REASON_INVALID_AUTH_TOKEN"), AuthenticationError, 401, "authentication_error"),
    Refusal(trailer("permission_denied"), PermissionDeniedError, 403, "permission_error"),
    Refusal(trailer("not_found"), NotFoundError, 404, "not_found_error"),
    Refusal(trailer("resource_exhausted"), RateLimitError, 429, "rate_limit_error"),
    Refusal(OVERLOAD, OverloadedError, 529, "overloaded_error"),
    Refusal(PLAIN["html-200"], InternalServerError, 502, "api_error"),
    Refusal(PLAIN["cut-after-headers"], InternalServerError, 502, "api_error"),
    Refusal(PLAIN["plain-500"], ServiceUnavailableError, 503, "api_error"),
    Refusal(trailer("deadline_exceeded"), GatewayTimeoutError, 504, "timeout_error"),
]


@BOTH_WAYS
@pytest.mark.parametrize("refusal", REFUSALS, ids=[str(refusal.status) for refusal in REFUSALS])
def test_what_kimi_refuses_is_sent_once(connect: Door, refusal: Refusal, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """The SDK would send it three times, and is told not to; it raises its own exception for the status."""
    connect.guest.plan(refusal.plan, repeat=True)
    with sdk_of(connect.gateway, connect.token, max_retries=2) as client, pytest.raises(APIStatusError) as caught:
        asked(client, stream=stream)
    error = caught.value
    assert type(error) is refusal.kind
    assert [error.status_code, error.type] == [refusal.status, refusal.type]
    assert error.api_message
    assert error.request_id
    assert len(connect.guest.completions()) == 1


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"messages": []}, BadRequestError),
        ({"tool_choice": {"type": "any"}}, BadRequestError),
        ({"extra_body": {"messages": [{"role": "user", "content": [{"type": "image"}]}]}}, BadRequestError),
        ({"model": "a model\n"}, BadRequestError),
    ],
)
def test_what_is_refused_here_never_reaches_kimi(
    connect: Door, fields: dict[str, Any], kind: type[APIStatusError]
) -> None:
    """Nobody's quota is spent on it."""
    with sdk_of(connect.gateway, connect.token, max_retries=2) as client, pytest.raises(kind):
        asked(client, **fields)
    assert connect.guest.calls() == []


@pytest.mark.parametrize("option", ["api_key", "auth_token"])
def test_a_key_may_come_in_either_header(connect: Door, option: str) -> None:
    """And is refused in either if it is none."""
    connect.guest.plan({"text": TEXT})
    with sdk_of(connect.gateway, **{option: connect.token}) as client:
        assert text_of(asked(client)) == TEXT
    with (
        sdk_of(connect.gateway, **{option: "short"}, max_retries=2) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        asked(client)
    assert caught.value.type == "authentication_error"
    assert len(connect.guest.completions()) == 1


MIDDLE: list[tuple[str, Plan, str]] = [
    ("connect", {"error_trailer": {"code": "resource_exhausted", "after_text": 8}}, "rate_limit_error"),
    ("connect", {"exception_block": {"reason": "REASON_COMPLETION_OVERLOADED", "after_text": 8}}, "overloaded_error"),
    ("connect", {"cut_after": 12}, "api_error"),
    ("connect", {"cut_after": 12, "cut": "rst"}, "api_error"),
    ("rest", {"legacy_error": {"error_type": "openai.completion.stream", "after_text": 8}}, "overloaded_error"),
    ("rest", {"cut_after": 6}, "api_error"),
]


@pytest.mark.parametrize(("protocol", "faults", "type_"), MIDDLE)
def test_a_failure_in_the_middle_is_raised(
    request: pytest.FixtureRequest, new_guest: NewGuest, protocol: str, faults: Plan, type_: str
) -> None:
    """What came before it has been given; the SDK does not take it for the whole, and does not ask again."""
    gateway: Gateway = request.getfixturevalue(f"{protocol}_gateway")
    guest = new_guest()
    guest.plan({"text": TEXT, "faults": faults}, repeat=True)
    token = guest.access_token if protocol == "connect" else guest.legacy_token
    said: list[str] = []
    with sdk_of(gateway, token, max_retries=2) as client, pytest.raises(APIStatusError) as caught:
        said += _texts(client)
    assert caught.value.type == type_
    assert len(guest.completions()) == 1
    assert guest.all_deleted()


def _texts(client: Anthropic) -> Iterator[str]:
    with client.messages.stream(model="kimi", max_tokens=99, messages=HI) as stream:
        yield from stream.text_stream


@pytest.mark.parametrize("leave", [lambda stream: stream.close(), lambda stream: stream.response.close()])
def test_a_client_that_leaves_leaves_nothing(door: Door, sdk: Anthropic, leave: Callable[[Any], None]) -> None:
    """Kimi's answer is ended, and the conversation deleted."""
    door.guest.plan({"text": TEXT * 50, "delay": 0.02})
    stream = sdk.messages.create(model="kimi", max_tokens=9999, messages=HI, stream=True)
    assert next(stream).type == "message_start"
    leave(stream)
    assert until(lambda: bool(door.guest.completions()) and door.guest.completions()[0]["client_closed"])
    assert door.guest.all_deleted()
