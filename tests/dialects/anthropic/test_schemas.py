"""What POST /v1/messages takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import ChatRequest, Choice, Effort, JsonFormat, Message, Role, TextPart, ToolSpec, ToolUse
from app.chat.tokens import estimate
from app.dialects.anthropic.schemas import MessagesCall, counted, messages_call
from app.dialects.wishes import MAX_MESSAGES, MAX_STOPS, MAX_TOKENS, MAX_TOOLS
from app.errors import GatewayError, InvalidRequest

HI = {"role": "user", "content": "hi"}
TOOL = {"name": "f", "input_schema": {}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}
SCHEMA = {"type": "object", "properties": {"b": {"const": "é"}, "a": {"maximum": 2**70}}}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "model", "messages", "max_tokens", "system", "stream", "stop_sequences", "temperature", "top_p", "top_k", "tools",
    "tool_choice", "thinking", "output_config", "output_format", "metadata", "use_search", "conversation_id",
    "reasoning_effort",
]  # fmt: skip
BODY: dict[str, object] = {"model": "kimi", "max_tokens": 32_000, "messages": [HI]}


def called(**members: object) -> MessagesCall:
    """The call of a small body with other members."""
    return messages_call({**BODY, **members})


def refused(**members: object) -> InvalidRequest:
    """The error for a small body with other members."""
    with pytest.raises(InvalidRequest) as caught:
        called(**members)
    return caught.value


def test_a_small_body_is_a_request() -> None:
    """Everything else has its default."""
    request = ChatRequest("kimi", (Message.of(Role.USER, "hi"),), max_tokens=32_000)
    assert called() == MessagesCall(request, stream=False, shows_thinking=True)


@pytest.mark.parametrize(
    "members",
    [
        {"whatever": None, "betas": ["a"], "cache_control": {"type": "ephemeral"}},
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}, "mcp_servers": [{"type": "url"}]},
        {"service_tier": "auto", "container": {"skills": []}, "inference_geo": "us", "speed": "fast", "fallbacks": []},
        {"metadata": {"user_id": "somebody"}, "diagnostics": {"previous_message_id": None}},
        {"metadata": "odd"},
        {"temperature": 1.0, "top_p": 0.9, "top_k": 40},
    ],
)
def test_what_concerns_the_vendor_s_service_is_ignored(members: dict[str, object]) -> None:
    """As is what nobody knows."""
    assert called(**members) == called()


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in {"model", "messages", "max_tokens"}])
def test_null_is_as_good_as_nothing(field: str) -> None:
    """SDKs write optional fields so."""
    assert called(**{field: None}) == called()


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": 7}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [HI] * (MAX_MESSAGES + 1)}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [HI, {"content": "a"}]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "messages"),
        ({"messages": [{"role": "user", "content": []}], "system": "Be brief."}, "messages"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_tokens": MAX_TOKENS + 1}, "max_tokens"),
        ({"system": 7}, "system"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        ({"stream": "true"}, "stream"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"stop_sequences": 7}, "stop_sequences"),
        ({"stop_sequences": ["a", ""]}, "stop_sequences[1]"),
        ({"stop_sequences": [str(number) for number in range(MAX_STOPS + 1)]}, "stop_sequences"),
        ({"tools": {}}, "tools"),
        ({"tools": ["a"]}, "tools"),
        ({"tools": [TOOL] * (MAX_TOOLS + 1)}, "tools"),
        ({"tools": [TOOL, {}]}, "tools[1].name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"thinking": True}, "thinking"),
        ({"thinking": "enabled"}, "thinking"),
        ({"output_config": "high"}, "output_config"),
        ({"output_config": {"effort": "much"}}, "output_config.effort"),
        ({"output_config": {"effort": 7}}, "output_config.effort"),
        ({"output_config": {"effort": []}}, "output_config.effort"),
        ({"output_config": {"format": "json"}}, "output_config.format"),
        ({"output_config": {"format": {}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"format": {"type": "json_schema", "schema": 7}}}, "output_config.format.schema"),
        ({"output_format": []}, "output_format"),
        ({"output_format": {"type": "json_object"}}, "output_format.type"),
        ({"output_format": {"type": "json_schema", "schema": {"type": "odd"}}}, "output_format.schema"),
        ({"use_search": "yes"}, "use_search"),
        ({"conversation_id": "../a"}, "conversation_id"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
    ],
)
def test_a_wrong_field_is_named(members: dict[str, object], param: str) -> None:
    """In `param` and in the message."""
    error = refused(**members)
    assert error.param == param
    assert error.message.startswith(param.partition("[")[0].partition(".")[0])


@pytest.mark.parametrize("missing", BODY)
def test_a_missing_field_is_named(missing: str) -> None:
    """The vendor needs these three."""
    with pytest.raises(InvalidRequest) as caught:
        messages_call({name: value for name, value in BODY.items() if name != missing})
    assert [caught.value.param, caught.value.message] == [missing, f"{missing} is missing"]


def test_a_conversation_of_claude_code_is_understood() -> None:
    """Its accounting, its prompt, the question, a call and its result, and a system message behind all."""
    asked = called(
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.a2b; cch=00000;"},
            {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
        ],
        messages=[
            {
                "role": "user",
                "content": [{"type": "text", "text": "<system-reminder>"}, {"type": "text", "text": "hi"}],
            },
            {"role": "system", "content": "It is Monday."},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, USE]},
            {"role": "user", "content": [{**RESULT, "is_error": False}, {"type": "text", "text": "Go on."}]},
            {"role": "system", "content": "<total_tokens>9 tokens left</total_tokens>"},
        ],
        tools=[TOOL],
        thinking={"type": "adaptive"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "high"},
        metadata={"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id": "session-7"})},
    ).request
    assert [message.role for message in asked.messages] == [
        Role.SYSTEM, Role.USER, Role.SYSTEM, Role.ASSISTANT, Role.TOOL, Role.USER, Role.SYSTEM,
    ]  # fmt: skip
    assert asked.messages[0].parts == (TextPart("You are an agent."),)
    assert [asked.effort, asked.session, asked.tools] == [Effort.HIGH, "session-7", ToolUse((ToolSpec("f"),))]


@pytest.mark.parametrize(
    ("members", "request_"),
    [
        ({"use_search": True}, {"use_search": True}),
        ({"conversation_id": "chat-1"}, {"conversation_id": "chat-1", "keep": True}),
        ({"conversation_id": "none"}, {"keep": True}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"stop_sequences": ["b", "a", "b"]}, {"stop": ("b", "a")}),
        ({"stop_sequences": []}, {}),
        ({"tools": [TOOL]}, {"tools": ToolUse((ToolSpec("f"),))}),
        (
            {"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
            {"tools": ToolUse((ToolSpec("f"),), Choice.REQUIRED, parallel=False)},
        ),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, {"use_search": True}),
        ({"tools": [{"type": "web_search_20250305"}], "use_search": False}, {"use_search": False}),
        ({"tools": [{"type": "code_execution_20250825"}]}, {}),
        ({"metadata": {"user_id": "user_0f_account__session_s-7"}}, {"session": "s-7"}),
    ],
)
def test_what_is_asked_is_understood(members: dict[str, object], request_: dict[str, object]) -> None:
    """In the house language."""
    asked = called(**members).request
    assert asked == ChatRequest(model="kimi", messages=asked.messages, **{"max_tokens": 32_000, **request_})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("members", "effort"),
    [
        ({"thinking": {"type": "disabled"}}, Effort.NONE),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "between_tools"}}, None),
        ({"thinking": {"type": "something new", "budget_tokens": 5}}, None),
        ({"thinking": {}}, None),
        ({"thinking": {"type": "enabled"}}, Effort.MEDIUM),
        ({"thinking": {"type": "enabled", "budget_tokens": "many"}}, Effort.MEDIUM),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, Effort.LOW),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, Effort.LOW),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, Effort.MEDIUM),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, Effort.HIGH),
        ({"output_config": {}}, None),
        ({"output_config": {"effort": None}}, None),
        ({"output_config": {"effort": "low"}}, Effort.LOW),
        ({"output_config": {"effort": "max"}, "thinking": {"type": "adaptive"}}, Effort.MAX),
        ({"output_config": {"effort": "xhigh"}, "thinking": {"type": "enabled", "budget_tokens": 1024}}, Effort.MAX),
        ({"output_config": {"effort": "high"}, "thinking": {"type": "disabled"}}, Effort.NONE),
        ({"reasoning_effort": "low", "thinking": {"type": "disabled"}}, Effort.LOW),
    ],
)
def test_how_much_to_think(members: dict[str, object], effort: Effort | None) -> None:
    """What the client says of thinking, or nothing: then the model's name decides."""
    assert called(**members).request.effort is effort


@pytest.mark.parametrize(
    ("thinking", "shows"),
    [
        (None, True),
        ({"type": "enabled", "budget_tokens": 1024}, True),
        ({"type": "adaptive", "display": "summarized"}, True),
        ({"type": "adaptive", "display": "omitted"}, False),
        ({"type": "disabled"}, False),
    ],
)
def test_who_does_not_want_to_see_thinking(thinking: object, *, shows: bool) -> None:
    """Some models of Kimi's think all the same."""
    assert called(thinking=thinking).shows_thinking is shows


@pytest.mark.parametrize(
    "members",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"output_format": {"type": "json_schema", "schema": SCHEMA}},
        {
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
            "output_format": {"type": "json_schema", "schema": {}},
        },
    ],
)
def test_an_answer_may_have_to_be_json(members: dict[str, object]) -> None:
    """That fits the schema, in the order of the client; of two fields the newer counts."""
    assert called(**members).request.form == JsonFormat(json.dumps(SCHEMA, ensure_ascii=False), strict=True)


@pytest.mark.parametrize(("header", "session"), [("one", "one"), (None, "two")])
def test_a_session_header_comes_before_the_user_id(header: str | None, session: str) -> None:
    """It is the plainer word."""
    body = {**BODY, "metadata": {"user_id": "user_0_session_two"}}
    assert messages_call(body, header).request.session == session


def test_the_stream_is_asked_beside_it() -> None:
    """It is none of the gateway's business."""
    assert [called(stream=True).stream, called(stream=False).stream] == [True, False]


# --- The count ---------------------------------------------------------------------------------------------

WORDS = "light waves scatter in the air above us " * 20


@pytest.mark.parametrize(
    "members",
    [
        {"system": WORDS},
        {"system": [{"type": "text", "text": WORDS}]},
        {"tools": [{**TOOL, "description": WORDS}]},
        {"tools": [{"name": "f", "input_schema": {"type": "object", "description": WORDS}}]},
        {"messages": [HI, {"role": "assistant", "content": WORDS}, HI]},
        {"messages": [HI, {"role": "assistant", "content": [{**USE, "input": {"a": WORDS}}]}, HI]},
        {"messages": [HI, {"role": "assistant", "content": [{"type": "thinking", "thinking": WORDS}]}, HI]},
        {"messages": [HI, {"role": "assistant", "content": [{"type": "redacted_thinking", "data": WORDS}]}, HI]},
        {"messages": [HI, {"role": "user", "content": [{**RESULT, "content": WORDS}]}]},
        {"messages": [HI, {"role": "user", "content": [{**RESULT, "content": [{"type": "text", "text": WORDS}]}]}]},
        {"messages": [HI, {"role": "system", "content": WORDS}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": WORDS}}]},
            ]
        },
    ],
)
def test_all_that_is_said_is_counted(members: dict[str, object]) -> None:
    """About once: Claude Code makes its history shorter by this count."""
    assert estimate(WORDS) <= counted({**BODY, **members}) - counted(BODY) < estimate(WORDS) + 40


def test_the_count_is_that_of_the_answer() -> None:
    """The same with and without what a count does not need; never nothing."""
    body = {
        "model": "kimi",
        "messages": [HI, {"role": "assistant", "content": [{"type": "thinking", "thinking": "a"}]}],
    }
    assert counted(body) == messages_call({**body, "max_tokens": 9, "stream": True}).request.prompt_tokens
    assert counted({"model": "kimi", "messages": [HI]}) > 0


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_count_needs_a_model_and_messages(missing: str) -> None:
    """As the vendor's."""
    with pytest.raises(InvalidRequest) as caught:
        counted({name: value for name, value in BODY.items() if name != missing})
    assert caught.value.param == missing


# --- Anything ----------------------------------------------------------------------------------------------

SOURCES = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["base64", "url", "text", "content", "file"]) | ANY_JSON,
        "data": st.sampled_from(["QQ==", "a"]) | ANY_JSON,
        "url": ANY_JSON,
        "content": ANY_JSON,
        "file_id": ANY_JSON,
        "media_type": ANY_JSON,
    },
)
KINDS = [
    "text", "image", "document", "tool_use", "tool_result", "thinking", "search_result", "server_tool_use", "new",
    "web_search_tool_result", "compaction", "tool_addition", "tool_reference",
]  # fmt: skip
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS) | ANY_JSON},
    optional={
        "text": st.text() | ANY_JSON,
        "source": SOURCES | ANY_JSON,
        "content": ANY_JSON,
        "name": st.just("f") | ANY_JSON,
        "input": ANY_JSON,
        "tool_use_id": ANY_JSON,
        "thinking": ANY_JSON,
        "title": ANY_JSON,
        "tool": ANY_JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]) | ANY_JSON, "content": st.lists(BLOCKS) | ANY_JSON}
)
TOOLS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["custom", "bash_20250124", "web_search_20250305", "mcp_toolset"]) | ANY_JSON,
        "name": st.sampled_from("fg") | ANY_JSON,
        "description": ANY_JSON,
        "input_schema": ANY_JSON,
    },
)
BODIES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"model": st.just("kimi"), "max_tokens": st.just(9), "messages": st.lists(MESSAGES, min_size=1, max_size=3)},
    optional={
        **dict.fromkeys(FIELDS[3:], ANY_JSON),
        "system": st.lists(BLOCKS, max_size=2) | ANY_JSON,
        "tools": st.lists(TOOLS, max_size=2) | ANY_JSON,
        "tool_choice": st.fixed_dictionaries({"type": st.sampled_from(["auto", "any", "tool"]), "name": ANY_JSON}),
        "thinking": st.fixed_dictionaries({"type": ANY_JSON}, optional={"budget_tokens": ANY_JSON}),
        "metadata": st.fixed_dictionaries({"user_id": ANY_JSON}),
    },
)


@given(BODIES)
def test_any_body_is_a_request_or_an_error(body: dict[str, Any]) -> None:
    """Of the tree, and with the field at fault."""
    fault: GatewayError | None = None
    try:
        assert messages_call(body).request.prompt_tokens == counted(body) > 0
    except GatewayError as error:
        fault = error
    assert fault is None or (isinstance(fault, InvalidRequest) and fault.param)


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}, "x"])
def test_a_thread_is_refused(thread: object) -> None:
    """A request in one leaves out the history, and no history is kept here."""
    assert refused(thread=thread).param == "thread"
    assert called(thread=None) == called()
