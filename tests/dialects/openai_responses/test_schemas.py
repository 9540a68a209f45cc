"""Request bodies of Responses, and what becomes of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import (
    ChatRequest,
    Choice,
    Effort,
    JsonFormat,
    Message,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    ToolUse,
)
from app.dialects.openai_responses.schemas import MAX_ITEMS, Reference, ResponsesCall, reference, responses_call
from app.dialects.openai_responses.stored import to_keep
from app.dialects.openai_responses.tools import Names
from app.errors import GatewayError, InvalidRequest, NotFound

HEX = "0123456789abcdef" * 2
ID = f"resp_{HEX}"
TOOL = {"type": "function", "name": "f"}
SAID = {"id": f"msg_{HEX}0", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]}
KEPT = to_keep(ID, (), [{"role": "user", "content": "a"}], json.dumps({"output": [SAID]}).encode())
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def called(**members: object) -> ResponsesCall:
    """The call that a body with these members asks for."""
    return responses_call({"model": "kimi", "input": "hi", **members})


def refused(**members: object) -> GatewayError:
    """The error for a body with these members."""
    with pytest.raises(InvalidRequest) as caught:
        called(**members)
    return caught.value


def user(text: str) -> Message:
    """What a person says."""
    return Message.of(Role.USER, text)


# --- What is asked -----------------------------------------------------------------------------------------


def test_a_text_is_asked() -> None:
    """With all else as by default."""
    call = called()
    assert call.request == ChatRequest("kimi", (user("hi"),))
    assert [call.stream, call.store, call.names] == [False, True, Names()]
    assert call.items == ({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},)


@pytest.mark.parametrize(
    ("members", "request_"),
    [
        ({"instructions": None}, {}),
        ({"instructions": " "}, {}),
        ({"instructions": "Be kind."}, {"messages": (Message.of(Role.SYSTEM, "Be kind."), user("hi"))}),
        ({"input": [{"role": "user", "content": "a"}]}, {"messages": (user("a"),)}),
        ({"max_output_tokens": 7}, {"max_tokens": 7}),
        ({"reasoning": {"effort": "minimal"}}, {"effort": Effort.NONE}),
        ({"reasoning": {"effort": "xhigh", "summary": "auto"}}, {"effort": Effort.MAX}),
        ({"reasoning": {"effort": None}}, {}),
        ({"reasoning": {"effort": "low"}, "reasoning_effort": "high"}, {"effort": Effort.HIGH}),
        ({"text": {"format": {"type": "text"}, "verbosity": "loud"}}, {}),
        ({"text": {"format": {"type": "json_object"}}}, {"form": JsonFormat()}),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True}}},
            {"form": JsonFormat("{}", strict=True)},
        ),
        ({"tools": [TOOL]}, {"tools": ToolUse((ToolSpec("f"),))}),
        ({"tools": [TOOL], "tool_choice": "none"}, {"tools": ToolUse((ToolSpec("f"),), Choice.NONE)}),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"tools": ToolUse((ToolSpec("f"),), parallel=False)}),
        ({"tools": [{"type": "web_search"}]}, {"use_search": True}),
        ({"tools": [{"type": "web_search"}], "use_search": False}, {"use_search": False}),
        ({"use_search": True}, {"use_search": True}),
        ({"conversation": "chat-1"}, {"conversation_id": "chat-1", "keep": True}),
        ({"conversation": {"id": "chat-1"}}, {"conversation_id": "chat-1", "keep": True}),
        ({"conversation": "none"}, {"keep": True}),
        ({"conversation": None, "conversation_id": "chat-1"}, {"conversation_id": "chat-1", "keep": True}),
        ({"conversation": "chat-2", "conversation_id": "chat-1"}, {"conversation_id": "chat-2", "keep": True}),
        ({"prompt_cache_key": "chat-7"}, {"session": "chat-7"}),
        ({"prompt_cache_key": "two words"}, {}),
    ],
)
def test_what_is_asked_is_understood(members: dict[str, object], request_: dict[str, object]) -> None:
    """In the house language."""
    expected = {"messages": (user("hi"),), **request_}
    assert called(**members).request == ChatRequest("kimi", **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "members",
    [
        {"background": False, "prompt": None, "stream_options": {"include_obfuscation": False}},
        {"include": ["reasoning.encrypted_content"], "client_metadata": {"a": 1}, "truncation": "auto"},
        {"service_tier": "flex", "safety_identifier": "a", "user": "b", "metadata": {"a": "b"}},
        {"temperature": 2, "top_p": 0, "top_logprobs": 20, "max_tool_calls": 3, "store": None, "stream": None},
        {"presence_penalty": 1, "frequency_penalty": -2, "context_management": [{}], "hologram": True},
        {"prompt_cache_retention": "24h", "moderation": None, "safety_identifier": 7, "user": []},
    ],
)
def test_what_changes_no_answer_is_taken(members: dict[str, object]) -> None:
    """Every client has its odd fields."""
    assert called(**members).request == called().request


@pytest.mark.parametrize(
    ("members", "stream", "store"),
    [({"stream": True}, True, True), ({"stream": False, "store": False}, False, False), ({"store": True}, False, True)],
)
def test_the_answer_s_form_is_asked_beside_it(members: dict[str, object], *, stream: bool, store: bool) -> None:
    """It is none of the gateway's business."""
    call = called(**members)
    assert [call.stream, call.store] == [stream, store]


def test_a_session_header_comes_before_the_cache_key() -> None:
    """The key may be the same for many conversations."""
    body = {"model": "kimi", "input": "hi", "prompt_cache_key": "two"}
    assert [responses_call(body, session).request.session for session in ("one", None)] == ["one", "two"]


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": " "}, "input"),
        ({"input": 7}, "input"),
        ({"input": {"role": "user"}}, "input"),
        ({"input": [{"role": "user", "content": ""}]}, "input"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
        ({"input": [{"role": "user", "content": "a"}] * (MAX_ITEMS + 1)}, "input"),
        ({"input": ["a"]}, "input[0]"),
        ({"instructions": 7}, "instructions"),
        ({"instructions": [{"role": "user", "content": "a"}]}, "instructions"),
        ({"background": True}, "background"),
        ({"background": "yes"}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"conversation": {"id": 7}}, "conversation"),
        ({"conversation": {}}, "conversation"),
        ({"conversation": 7}, "conversation"),
        ({"conversation": "a/b"}, "conversation"),
        ({"conversation": "chat-1", "previous_response_id": ID}, "conversation"),
        ({"conversation_id": "a b"}, "conversation_id"),
        ({"previous_response_id": 7}, "previous_response_id"),
        ({"stream": "yes"}, "stream"),
        ({"store": 1}, "store"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning.effort"),
        ({"reasoning": {"effort": 7}}, "reasoning.effort"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"text": "json"}, "text"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "name": "a", "schema": 7}}}, "text.format.schema"),
        ({"truncation": "maybe"}, "truncation"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"metadata": {"x" * 65: "a"}}, "metadata"),
        ({"metadata": {str(number): "a" for number in range(17)}}, "metadata"),
        ({"tools": "f"}, "tools"),
        ({"tools": [TOOL, TOOL]}, "tools[1].name"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_what_cannot_be_understood_is_named(members: dict[str, object], param: str) -> None:
    """As the client wrote it."""
    error = refused(**members)
    assert error.param == param
    assert error.message.startswith(param)


@pytest.mark.parametrize(("member", "words"), [("background", "stream"), ("response_format", "text.format")])
def test_what_there_is_instead_is_told(member: str, words: str) -> None:
    """A client can do without the field."""
    assert words in refused(**{member: True}).message


# --- What came before --------------------------------------------------------------------------------------


def test_a_body_tells_what_it_refers_to() -> None:
    """Before it is understood."""
    refers = [{"role": "user", "content": "a"}, {"type": "item_reference", "id": f"msg_{HEX}0"}]
    assert reference({}) == reference({"previous_response_id": None, "input": "a"}) == Reference(None, ())
    assert reference({"previous_response_id": "resp_1", "input": refers}) == Reference("resp_1", (ID,))


@pytest.mark.parametrize(
    ("body", "param"),
    [({"previous_response_id": 7}, "previous_response_id"), ({"input": 7}, "input"), ({"input": {}}, "input")],
)
def test_what_it_refers_to_has_to_be_understood(body: dict[str, object], param: str) -> None:
    """Whatever else stands in it."""
    with pytest.raises(InvalidRequest) as caught:
        reference(body)
    assert caught.value.param == param


def test_an_answer_goes_on_from_the_ones_before() -> None:
    """Their items come first, but for their instructions."""
    body = {"model": "kimi", "input": "c", "previous_response_id": ID, "instructions": "Be kind."}
    call = responses_call(body, chain=[KEPT])
    said = Message.of(Role.ASSISTANT, "b")
    assert call.request.messages == (Message.of(Role.SYSTEM, "Be kind."), user("a"), said, user("c"))
    assert [item["role"] for item in call.items] == ["user"]


def test_a_result_answers_the_call_before() -> None:
    """The call itself need not be sent again."""
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    kept = to_keep(ID, (), [{"role": "user", "content": "a"}], json.dumps({"output": [call]}).encode())
    result = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
    messages = responses_call({"model": "kimi", "input": [result]}, chain=[kept]).request.messages
    assert messages[1:] == (
        Message(Role.ASSISTANT, (ToolCallPart("call_1", "f", "{}"),)),
        Message(Role.TOOL, (ToolResultPart("call_1"), TextPart("done"))),
    )


@pytest.mark.parametrize("members", [{}, {"input": None}, {"input": []}])
def test_an_answer_may_go_on_without_a_word(members: dict[str, object]) -> None:
    """As in the vendor's own API."""
    assert len(responses_call({"model": "kimi", **members}, chain=[KEPT]).request.messages) == 2
    with pytest.raises(InvalidRequest):
        responses_call({"model": "kimi", **members})


def test_an_item_may_be_referred_to() -> None:
    """It is kept with the answer as what it is."""
    body = {"model": "kimi", "input": [{"type": "item_reference", "id": SAID["id"]}, {"role": "user", "content": "c"}]}
    call = responses_call(body, known=[KEPT])
    assert [message.text for message in call.request.messages] == ["b", "c"]
    assert call.items[0] == SAID
    with pytest.raises(NotFound):
        responses_call(body)


# --- Anything at all ---------------------------------------------------------------------------------------

FIELDS = [
    "input",
    "instructions",
    "previous_response_id",
    "conversation",
    "stream",
    "store",
    "background",
    "prompt",
    "max_output_tokens",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "text",
    "truncation",
    "metadata",
    "prompt_cache_key",
    "include",
]
TOOLISH = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["function", "custom", "web_search", "namespace", "mcp"]) | ANY_JSON,
        "name": st.sampled_from("fgh") | ANY_JSON,
        "tools": st.lists(st.fixed_dictionaries({"type": st.just("function"), "name": st.sampled_from("fg")}))
        | ANY_JSON,
        "parameters": ANY_JSON,
    },
)
CHOICES = (
    st.sampled_from(["none", "auto", "required"])
    | TOOLISH
    | st.fixed_dictionaries(
        {"type": st.just("allowed_tools"), "mode": st.just("auto") | ANY_JSON, "tools": st.lists(TOOLISH) | ANY_JSON}
    )
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), ANY_JSON, max_size=4)
    | st.fixed_dictionaries({"input": st.just("hi"), "tools": st.lists(TOOLISH, max_size=3), "tool_choice": CHOICES})
)
def test_any_body_is_understood_or_refused(body: dict[str, object]) -> None:
    """With a sentence, and never with another exception."""
    try:
        reference(body)
        call = responses_call({"model": "kimi", **body})
    except GatewayError as error:
        told = error.message
    else:
        told = call.request.model
    assert told
