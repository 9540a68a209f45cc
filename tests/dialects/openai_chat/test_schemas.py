"""What POST /v1/chat/completions takes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import (
    ChatRequest,
    Effort,
    FilePart,
    Inline,
    Message,
    Part,
    Remote,
    Role,
    Stored,
    TextPart,
)
from app.dialects.openai_chat.schemas import MAX_MESSAGES, MAX_TOOLS, ChatCall, chat_call
from app.errors import AttachmentRefused, GatewayError, InvalidRequest

HI = {"role": "user", "content": "hi"}
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "model", "messages", "stream", "stream_options", "use_search", "conversation_id", "reasoning_effort",
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens", "max_completion_tokens", "n",
    "tools", "tool_choice", "response_format", "prompt_cache_key",
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
    assert called() == ChatCall(request, stream=False, include_usage=False)


def test_unknown_fields_are_ignored() -> None:
    """Clients send odd ones."""
    assert called(store=True, metadata={"a": [1]}, whatever=None) == called()


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in {"model", "messages"}])
def test_null_is_as_good_as_nothing(field: str) -> None:
    """SDKs write optional fields so."""
    assert called(**{field: None}) == called()


@pytest.mark.parametrize(
    ("role", "ours"),
    [
        ("system", Role.SYSTEM),
        ("developer", Role.SYSTEM),
        ("user", Role.USER),
        ("assistant", Role.ASSISTANT),
        ("tool", Role.TOOL),
        ("function", Role.TOOL),
    ],
)
def test_roles_are_told_apart(role: str, ours: Role) -> None:
    """All that the vendor has."""
    messages = called(messages=[{"role": role, "content": "a"}, HI]).request.messages
    assert messages[0] == Message.of(ours, "a")


def test_a_content_may_be_a_list_of_parts() -> None:
    """Of text, under any of its names."""
    parts = [
        {"type": "text", "text": "a"},
        {"type": "input_text", "text": "b"},
        {"type": "output_text", "text": "c"},
        {"type": "refusal", "refusal": "d"},
    ]
    (message,) = called(messages=[{"role": "user", "content": parts}]).request.messages
    assert message.parts == tuple(TextPart(text) for text in "abcd")


def test_an_assistant_s_turn_may_have_no_content() -> None:
    """SDKs send one of tool calls so."""
    messages = called(messages=[{"role": "assistant", "content": None}, HI]).request.messages
    assert messages[0] == Message(Role.ASSISTANT, ())


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
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": []}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
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
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
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


def parts_of(*parts: object, role: str = "user") -> tuple[Part, ...]:
    """The parts of the one message of a request."""
    (message,) = called(messages=[{"role": role, "content": list(parts)}]).request.messages
    return message.parts


def test_images_and_files_stand_among_the_text() -> None:
    """In their order, each with its place."""
    place = "messages[0].content"
    assert parts_of(
        {"type": "text", "text": "Compare"},
        {"type": "image_url", "image_url": {"url": "https://a.example/a.png"}},
        {"type": "text", "text": "with"},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_file", "file_data": "QQ==", "filename": "a.txt"},
        {"type": "file", "file_url": {"url": "https://a.example/a.pdf"}},
        {"type": "input_image", "image_url": "data:image/png;base64,QQ=="},
    ) == (
        TextPart("Compare"),
        FilePart(Remote("https://a.example/a.png"), f"{place}[1]", image=True),
        TextPart("with"),
        FilePart(Stored("file-1"), f"{place}[3]"),
        FilePart(Inline(b"A", hashlib.sha256(b"A").hexdigest()), f"{place}[4]", name="a.txt"),
        FilePart(Remote("https://a.example/a.pdf"), f"{place}[5]"),
        FilePart(Inline(b"A", hashlib.sha256(b"A").hexdigest(), "image/png"), f"{place}[6]", image=True),
    )


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_any_message_may_hold_files(role: str) -> None:
    """Tools give pictures, too; those of earlier turns count as the last one's do."""
    file = {"type": "file", "file": {"file_id": "file-1"}}
    messages = called(messages=[{"role": role, "content": [file]}, HI]).request.messages
    assert messages[0].files == (FilePart(Stored("file-1"), "messages[0].content[0]"),)


def test_a_file_alone_is_a_question() -> None:
    """People send a picture without a word."""
    image = {"type": "image_url", "image_url": {"url": "https://a.example/a.png"}}
    assert len(parts_of(image)) == 1
    assert len(parts_of({"type": "text", "text": " "}, image)) == 2


@pytest.mark.parametrize("kind", ["image_url", "input_image", "file", "input_file", "file_url"])
def test_an_attachment_without_its_content_is_refused_as_such(kind: str) -> None:
    """A model must not answer as if it had seen it."""
    for index in (0, 1):
        parts = [{"type": "text", "text": "a"}] * index + [{"type": kind}]
        with pytest.raises(AttachmentRefused) as caught:
            called(messages=[HI, {"role": "user", "content": parts}])
        assert caught.value.param == f"messages[1].content[{index}]"


@pytest.mark.parametrize("kind", ["input_audio", "audio_url", "video_url", "input_video"])
def test_sound_and_video_are_refused_as_such(kind: str) -> None:
    """Kimi has no ears."""
    part = {"type": kind, kind: {"data": "QQ==", "format": "wav", "url": "https://a.example/a"}}
    with pytest.raises(AttachmentRefused) as caught:
        parts_of({"type": "text", "text": "a"}, part)
    assert caught.value.param == "messages[0].content[1]"
    assert "no sound and no video" in caught.value.message


@pytest.mark.parametrize("kind", ["", "image", "IMAGE_URL", "document", "text ", "image_url\x00"])
def test_a_part_of_an_unknown_type_is_named(kind: str) -> None:
    """It is not passed over: it may be what the question is about."""
    with pytest.raises(InvalidRequest) as caught:
        parts_of({"type": kind, "image_url": {"url": "https://a.example/a.png"}})
    assert caught.value.param == "messages[0].content[0].type"


def test_a_file_is_told_from_text_that_looks_like_one() -> None:
    """Only a part is an attachment."""
    assert parts_of({"type": "text", "text": "data:image/png;base64,QQ=="}) == (TextPart("data:image/png;base64,QQ=="),)


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
        ({"temperature": 0, "top_p": 1, "n": 1, "max_tokens": 1}, {}),
        ({"response_format": {"type": []}, "tool_choice": []}, {}),
        ({"tools": [], "tool_choice": "auto", "response_format": {"type": "text"}}, {"tools": ()}),
        ({"prompt_cache_key": "chat-7"}, {"session": "chat-7"}),
    ],
)
def test_what_is_asked_is_understood(members: dict[str, object], request_: dict[str, object]) -> None:
    """In the house language."""
    asked = called(**members).request
    expected = {"use_search": None, "effort": None, "conversation_id": None, "keep": False, "session": None, **request_}
    assert {name: getattr(asked, name) for name in expected} == expected


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


def tools_of(*tools: object) -> tuple[str, ...]:
    """The tools of a request."""
    return called(tools=list(tools)).request.tools


def test_a_tool_is_the_same_in_any_order_of_its_members() -> None:
    """SDKs in other languages write another one."""
    one = {"type": "function", "function": {"name": "f", "parameters": {"a": 1, "b": [1, {"c": "é", "d": None}]}}}
    other = {"function": {"parameters": {"b": [1, {"d": None, "c": "é"}], "a": 1}, "name": "f"}, "type": "function"}
    assert tools_of(one) == tools_of(other)


@pytest.mark.parametrize(
    "other",
    [
        {"type": "function", "function": {"name": "g"}},
        {"type": "function", "function": {"name": "f", "description": "x"}},
        {"type": "function", "function": {"name": "F"}},
        {},
    ],
)
def test_another_tool_is_another(other: dict[str, object]) -> None:
    """A model that is offered it may answer otherwise."""
    assert tools_of({"type": "function", "function": {"name": "f"}}) != tools_of(other)


def test_tools_keep_their_number() -> None:
    """One for each, also where two are the same."""
    assert len(tools_of({"a": 1}, {"a": 1}, {})) == 3


@pytest.mark.parametrize("number", [0, 2**63, 2**64, 2**70, -(2**70), 10**300, 1.5, 1e308])
def test_a_tool_may_hold_any_number(number: float) -> None:
    """JSON schemas have bounds beyond 64 bits, and the reader of bodies lets them through."""
    assert tools_of({"maximum": number}) == tools_of({"maximum": number})
    assert tools_of({"maximum": number}) != tools_of({"maximum": 7})


@pytest.mark.parametrize("key", [7, "", "two words", "x" * 257, [], {}, True])
def test_a_cache_key_that_cannot_be_used_is_left_alone(key: object) -> None:
    """It is a hint: no request is refused for it."""
    assert called(prompt_cache_key=key).request.session is None


@pytest.mark.parametrize(("header", "session"), [("one", "one"), (None, "two")])
def test_a_session_header_comes_before_the_cache_key(header: str | None, session: str) -> None:
    """The key may be the same for many conversations."""
    body = {"model": "kimi", "messages": [HI], "prompt_cache_key": "two"}
    assert chat_call(body, header).request.session == session


@given(st.dictionaries(st.sampled_from(FIELDS), ANY_JSON))
def test_any_body_is_a_call_or_refused(body: dict[str, object]) -> None:
    """Never a crash."""
    try:
        chat_call(body)
    except GatewayError as error:
        assert error.status == 400  # noqa: PT017 # either outcome is right


@given(st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "tool"]), "content": ANY_JSON}), min_size=1))
def test_any_message_is_taken_or_refused(messages: list[object]) -> None:
    """Never a crash."""
    try:
        call = called(messages=messages)
    except GatewayError as error:
        assert error.status == 400  # noqa: PT017 # either outcome is right
    else:
        assert len(call.request.messages) == len(messages)
