"""What POST /v1/chat/completions takes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import ChatRequest, Choice, Effort, JsonFormat, Message, Role, TextPart, ToolSpec, ToolUse
from app.dialects.openai_chat.schemas import ChatCall, chat_call
from app.dialects.wishes import MAX_MESSAGES, MAX_STOP_LENGTH, MAX_STOPS, MAX_TOOLS
from app.errors import GatewayError, InvalidRequest

HI = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "model", "messages", "stream", "stream_options", "use_search", "conversation_id", "reasoning_effort",
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens", "max_completion_tokens", "n",
    "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "response_format", "stop",
    "prompt_cache_key",
]  # fmt: skip


def called(**members: object) -> ChatCall:
    """The call of a small body with other members."""
    return chat_call({"model": "kimi", "messages": [HI], **members})


def refused(**members: object) -> InvalidRequest:
    """The error for a small body with other members."""
    with pytest.raises(InvalidRequest) as caught:
        called(**members)
    return caught.value


def test_a_small_body_is_a_request() -> None:
    """Everything else has its default."""
    request = ChatRequest("kimi", (Message.of(Role.USER, "hi"),))
    assert called() == ChatCall(request, stream=False, include_usage=False, legacy_functions=False)


def test_unknown_fields_are_ignored() -> None:
    """Clients send odd ones."""
    assert called(store=True, metadata={"a": [1]}, whatever=None) == called()


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in {"model", "messages"}])
def test_null_is_as_good_as_nothing(field: str) -> None:
    """SDKs write optional fields so."""
    assert called(**{field: None}) == called()


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [HI] * (MAX_MESSAGES + 1)}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [HI, {"content": "a"}]}, "messages[1].role"),
        ({"messages": [HI, {"role": "assistant", "tool_calls": [{}]}]}, "messages[1].tool_calls[0].function"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "messages"),
        ({"stream": "true"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"use_search": "yes"}, "use_search"),
        ({"conversation_id": 7}, "conversation_id"),
        ({"conversation_id": ""}, "conversation_id"),
        ({"conversation_id": "../a"}, "conversation_id"),
        ({"conversation_id": "a" * 129}, "conversation_id"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"reasoning_effort": []}, "reasoning_effort"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"n": 2}, "n"),
        ({"n": "1"}, "n"),
        ({"n": True}, "n"),
        ({"n": []}, "n"),
        ({"tools": {}}, "tools"),
        ({"tools": ["a"]}, "tools"),
        ({"tools": [{}] * (MAX_TOOLS + 1)}, "tools"),
        ({"tools": [TOOL] * (MAX_TOOLS + 1)}, "tools"),
        ({"tools": [TOOL, {}]}, "tools[1]"),
        ({"functions": {}}, "functions"),
        ({"functions": ["a"]}, "functions"),
        ({"functions": [{}] * (MAX_TOOLS + 1)}, "functions"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": []}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"function_call": {"name": "f"}}, "function_call"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"parallel_tool_calls": 0}, "parallel_tool_calls"),
        ({"response_format": "json_object"}, "response_format"),
        ({"response_format": []}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": []}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": []}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": None}}},
            "response_format.json_schema.schema",
        ),
        ({"stop": ""}, "stop"),
        ({"stop": 7}, "stop"),
        ({"stop": {}}, "stop"),
        ({"stop": "x" * (MAX_STOP_LENGTH + 1)}, "stop"),
        ({"stop": [str(number) for number in range(MAX_STOPS + 1)]}, "stop"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"stop": ["a", None]}, "stop[1]"),
        ({"stop": [["a"]]}, "stop[0]"),
        ({"stop": ["x" * (MAX_STOP_LENGTH + 1)]}, "stop[0]"),
    ],
)
def test_a_wrong_field_is_named(members: dict[str, object], param: str) -> None:
    """In `param` and in the message."""
    error = refused(**members)
    assert error.param == param
    assert error.message.startswith(param.partition("[")[0].partition(".")[0])


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_missing_field_is_named(missing: str) -> None:
    """These two are needed."""
    body: dict[str, object] = {"model": "kimi", "messages": [HI]}
    del body[missing]
    with pytest.raises(InvalidRequest) as caught:
        chat_call(body)
    assert [caught.value.param, caught.value.message] == [missing, f"{missing} is missing"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/a.png"}}]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
        {"role": "tool", "content": None},
        {"role": "function", "name": "f", "content": None},
    ],
)
def test_a_message_may_say_something_without_text(message: dict[str, object]) -> None:
    """People send a picture without a word, and tools end without one."""
    for messages in ([message], [{"role": "user", "content": " "}, message]):
        assert len(called(messages=messages).request.messages) == len(messages)


@pytest.mark.parametrize("content", ["", " \n", [], None])
def test_a_request_must_say_something(content: object) -> None:
    """An assistant's turn of nothing is nothing."""
    assert refused(messages=[{"role": "assistant", "content": content}]).param == "messages"


def test_a_conversation_with_calls_is_understood() -> None:
    """The question, the call, its result."""
    messages = [
        HI,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    ]
    asked = called(messages=messages, tools=[TOOL]).request
    assert [message.role for message in asked.messages] == [Role.USER, Role.ASSISTANT, Role.TOOL]
    assert [call.name for message in asked.messages for call in message.calls] == ["f"]
    assert asked.messages[2].answers is not None
    assert asked.messages[2].parts[1:] == (TextPart("done"),)


@pytest.mark.parametrize(
    ("members", "request_"),
    [
        ({"use_search": True}, {"use_search": True}),
        ({"use_search": False}, {"use_search": False}),
        ({"reasoning_effort": "none"}, {"effort": Effort.NONE}),
        ({"reasoning_effort": "minimal"}, {"effort": Effort.NONE}),
        ({"reasoning_effort": "low"}, {"effort": Effort.LOW}),
        ({"reasoning_effort": "medium"}, {"effort": Effort.MEDIUM}),
        ({"reasoning_effort": "high"}, {"effort": Effort.HIGH}),
        ({"reasoning_effort": "xhigh"}, {"effort": Effort.MAX}),
        ({"conversation_id": "chat-1"}, {"conversation_id": "chat-1", "keep": True}),
        ({"conversation_id": "none"}, {"keep": True}),
        ({"temperature": 0, "top_p": 1, "n": 1}, {}),
        ({"tools": [], "tool_choice": "auto", "response_format": {"type": "text"}}, {}),
        ({"tools": [TOOL]}, {"tools": ToolUse((ToolSpec("f"),))}),
        ({"tools": [TOOL], "tool_choice": "none"}, {"tools": ToolUse((ToolSpec("f"),), Choice.NONE)}),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"tools": ToolUse((ToolSpec("f"),), parallel=False)}),
        ({"functions": [{"name": "f"}]}, {"tools": ToolUse((ToolSpec("f"),), parallel=False)}),
        ({"tools": [{"type": "web_search"}]}, {"use_search": True}),
        ({"tools": [{"type": "web_search"}], "use_search": None}, {"use_search": True}),
        ({"tools": [{"type": "web_search"}], "use_search": False}, {"use_search": False}),
        ({"tools": [{"type": "code_interpreter"}]}, {}),
        ({"response_format": {"type": "json_object"}}, {"form": JsonFormat()}),
        ({"stop": []}, {}),
        ({"stop": "\n"}, {"stop": ("\n",)}),
        ({"stop": ["b", "a", "b"]}, {"stop": ("b", "a")}),
        ({"stop": ["x" * MAX_STOP_LENGTH] * MAX_STOPS}, {"stop": ("x" * MAX_STOP_LENGTH,)}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 8}, {"max_tokens": 8}),
        ({"max_tokens": 7, "max_completion_tokens": 8}, {"max_tokens": 8}),
        ({"max_tokens": 7, "max_completion_tokens": None}, {"max_tokens": 7}),
        ({"prompt_cache_key": "chat-7"}, {"session": "chat-7"}),
    ],
)
def test_what_is_asked_is_understood(members: dict[str, object], request_: dict[str, object]) -> None:
    """In the house language."""
    asked = called(**members).request
    assert asked == ChatRequest(model="kimi", messages=asked.messages, **request_)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("members", "stream", "usage"),
    [
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True, "other": 1}}, True, True),
        ({"stream": False, "stream_options": {}}, False, False),
    ],
)
def test_the_answer_s_form_is_asked_beside_it(members: dict[str, object], *, stream: bool, usage: bool) -> None:
    """It is none of the gateway's business."""
    call = called(**members)
    assert [call.stream, call.include_usage] == [stream, usage]


def described(schema: object, **members: object) -> JsonFormat | None:
    """The form of an answer that this schema describes."""
    inner = {"name": "answer", "schema": schema, **members}
    return called(response_format={"type": "json_schema", "json_schema": inner}).request.form


SCHEMA = {"type": "object", "properties": {"b": {"type": "string", "const": "é"}, "a": {"maximum": 2**70}}}


def test_a_schema_is_passed_on_as_it_is() -> None:
    """In its order: models write the members of an object in it."""
    form = described(SCHEMA)
    assert form is not None
    assert form.schema == json.dumps(SCHEMA, ensure_ascii=False)


@pytest.mark.parametrize(
    ("members", "strict"),
    [
        ({}, False),
        ({"strict": None}, False),
        ({"strict": False}, False),
        ({"strict": 1}, False),
        ({"strict": True}, True),
    ],
)
def test_a_schema_is_strict_only_where_the_client_says_so(members: dict[str, object], *, strict: bool) -> None:
    """As in the vendor's own API."""
    assert described({"type": "object"}, **members) == JsonFormat('{"type": "object"}', strict=strict)


@pytest.mark.parametrize("schema", [7, "x", [], {"type": "nonsense"}, {"properties": []}])
def test_what_is_no_schema_is_refused(schema: object) -> None:
    """No answer could be held against it."""
    inner = {"name": "answer", "schema": schema}
    error = refused(response_format={"type": "json_schema", "json_schema": inner})
    assert error.param == "response_format.json_schema.schema"
    assert error.message.startswith("response_format.json_schema.schema ")


@pytest.mark.parametrize(
    ("members", "legacy"),
    [({"functions": [{"name": "f"}]}, True), ({"functions": [{"name": "f"}], "tools": [TOOL]}, False), ({}, False)],
)
def test_who_offers_functions_is_answered_in_their_words(members: dict[str, object], *, legacy: bool) -> None:
    """Such clients know no others."""
    assert called(**members).legacy_functions is legacy


@pytest.mark.parametrize("key", [7, "", "two words", "x" * 257, [], {}, True])
def test_a_cache_key_that_cannot_be_used_is_left_alone(key: object) -> None:
    """It is a hint: no request is refused for it."""
    assert called(prompt_cache_key=key).request.session is None


@pytest.mark.parametrize(("header", "session"), [("one", "one"), (None, "two")])
def test_a_session_header_comes_before_the_cache_key(header: str | None, session: str) -> None:
    """The key may be the same for many conversations."""
    body = {"model": "kimi", "messages": [HI], "prompt_cache_key": "two"}
    assert chat_call(body, header).request.session == session


TOOLISH = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["function", "custom", "web_search", "mcp", "builtin_function"]) | ANY_JSON,
        "function": st.fixed_dictionaries({"name": st.sampled_from("fgh") | ANY_JSON, "parameters": ANY_JSON})
        | ANY_JSON,
        "custom": st.fixed_dictionaries({"name": st.sampled_from("fgh") | ANY_JSON, "format": ANY_JSON}) | ANY_JSON,
        "name": st.sampled_from("fgh") | ANY_JSON,
        "description": ANY_JSON,
    },
)
CALLISH = st.fixed_dictionaries(
    {},
    optional={
        "id": ANY_JSON,
        "type": st.sampled_from(["function", "custom"]) | ANY_JSON,
        "function": st.fixed_dictionaries({"name": st.just("f") | ANY_JSON, "arguments": ANY_JSON}) | ANY_JSON,
        "custom": st.fixed_dictionaries({"name": st.just("f") | ANY_JSON, "input": ANY_JSON}) | ANY_JSON,
    },
)
CHOICES = (
    st.sampled_from(["none", "auto", "required", "any"])
    | TOOLISH
    | st.fixed_dictionaries(
        {
            "type": st.just("allowed_tools"),
            "allowed_tools": st.fixed_dictionaries(
                {"mode": st.sampled_from(["auto", "required"]) | ANY_JSON, "tools": st.lists(TOOLISH) | ANY_JSON}
            )
            | ANY_JSON,
        }
    )
    | ANY_JSON
)
FORMS = (
    st.fixed_dictionaries(
        {
            "type": st.just("json_schema") | ANY_JSON,
            "json_schema": st.fixed_dictionaries({"schema": ANY_JSON, "strict": ANY_JSON}) | ANY_JSON,
        }
    )
    | ANY_JSON
)


def is_taken_or_refused(body: dict[str, object]) -> ChatCall | None:
    """The call of a body; None for one that is refused with the status of a client's mistake."""
    try:
        return chat_call(body)
    except GatewayError as error:
        assert error.status == 400  # noqa: PT017 # either outcome is right
        return None


@given(st.dictionaries(st.sampled_from(FIELDS), ANY_JSON))
def test_any_body_is_a_call_or_refused(body: dict[str, object]) -> None:
    """Never a crash."""
    is_taken_or_refused(body)


@given(
    st.fixed_dictionaries(
        {"model": st.just("kimi"), "messages": st.just([HI])},
        optional={
            "tools": st.lists(TOOLISH, max_size=4) | ANY_JSON,
            "tool_choice": CHOICES,
            "functions": st.lists(TOOLISH, max_size=4) | ANY_JSON,
            "function_call": CHOICES,
            "parallel_tool_calls": st.booleans() | ANY_JSON,
            "response_format": FORMS,
            "stop": st.lists(st.text()) | ANY_JSON,
            "max_tokens": st.integers() | ANY_JSON,
            "max_completion_tokens": st.integers() | ANY_JSON,
        },
    )
)
def test_any_use_of_tools_and_limits_is_taken_or_refused(body: dict[str, object]) -> None:
    """Never a crash; what is taken fits together."""
    call = is_taken_or_refused(body)
    if call is not None:
        use = call.request.tools
        names = [tool.name for tool in use.tools]
        assert len(set(names)) == len(names)
        assert set(use.allowed or ()) <= set(names)
        assert names or use.choice is not Choice.REQUIRED
        assert all(json.loads(tool.parameters) is not None for tool in use.tools)
        assert all(call.request.stop)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "tool", "function"]), "content": ANY_JSON},
            optional={
                "tool_calls": st.lists(CALLISH, max_size=3) | ANY_JSON,
                "function_call": CALLISH | ANY_JSON,
                "tool_call_id": ANY_JSON,
                "name": ANY_JSON,
            },
        ),
        min_size=1,
    )
)
def test_any_message_is_taken_or_refused(messages: list[object]) -> None:
    """Never a crash."""
    call = is_taken_or_refused({"model": "kimi", "messages": messages})
    assert call is None or len(call.request.messages) == len(messages)
