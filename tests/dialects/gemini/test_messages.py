"""Contents as Google's clients write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.numbering import numbered
from app.chat.request import Message, Part, Role, TextPart, ToolCallPart, ToolResultPart
from app.dialects.gemini.messages import Told, told
from app.dialects.wishes import MAX_MESSAGES
from app.errors import InvalidRequest

USER, MODEL = Role.USER, Role.ASSISTANT


def read(*contents: object, system: object = None) -> tuple[Message, ...]:
    """The messages of these contents."""
    return told([*contents], "contents", system, "systemInstruction").messages


def content(role: str | None, *parts: object) -> dict[str, object]:
    """A content with these parts; a string is a text."""
    listed = [{"text": part} if isinstance(part, str) else part for part in parts]
    return {"parts": listed} | ({} if role is None else {"role": role})


def call(name: str = "f", **args: object) -> dict[str, Any]:
    """A call without an id, as most are."""
    return {"functionCall": {"name": name, "args": args}}


def result(name: str = "f", output: str = "", **members: object) -> dict[str, Any]:
    """The result of such a call."""
    return {"functionResponse": {"name": name, "response": {"output": output}, **members}}


def refused(contents: object, system: object = None) -> InvalidRequest:
    """The error for these contents."""
    with pytest.raises(InvalidRequest) as caught:
        told(contents, "contents", system, "systemInstruction")
    return caught.value


@pytest.mark.parametrize(
    ("role", "ours"), [("user", USER), ("USER", USER), (None, USER), ("", USER), ("model", MODEL), ("function", USER)]
)
def test_roles_are_told_apart(role: str | None, ours: Role) -> None:
    """Whoever speaks without saying so is the user."""
    assert read(content(role, "a")) == (Message.of(ours, "a"),)


@pytest.mark.parametrize(
    "contents",
    [
        "a",
        ["a"],
        {"parts": "a"},
        {"parts": ["a"]},
        {"role": "user", "parts": {"text": "a"}},
        [{"role": "user", "parts": {"text": "a"}}],
        [{"role": "user", "parts": [{"text": "a"}]}],
    ],
)
def test_one_may_stand_for_a_list(contents: object) -> None:
    """And a text for a content: that is how people write requests by hand."""
    assert told(contents, "contents").messages == (Message.of(USER, "a"),)


def test_the_texts_of_a_user_stay_apart() -> None:
    """Several are several paragraphs; one that is empty is none."""
    (message,) = read(content("user", "a", "", "b"))
    assert message.parts == (TextPart("a"), TextPart("b"))


def test_what_the_model_said_in_a_row_is_one_message() -> None:
    """A client that was streamed to gives each chunk back as a content, the last one without text."""
    chunks = [content("model", text) for text in ("The sk", "y is ", "blue.", "")]
    assert read(content("user", "a"), *chunks, content("user", "b"), content("model", "Yes", ".")) == (
        Message.of(USER, "a"),
        Message.of(MODEL, "The sky is blue."),
        Message.of(USER, "b"),
        Message.of(MODEL, "Yes."),
    )


@given(st.lists(st.lists(st.text(), max_size=4), max_size=6), st.booleans())
def test_however_an_answer_came_it_is_the_same_message(chunks: list[list[str]], thinks: bool) -> None:  # noqa: FBT001
    """Cut into contents and parts anywhere, with thoughts in between or not."""
    thought = [{"text": "hm", "thought": True}] if thinks else []
    contents = [content("model", *thought, *texts, *thought) for texts in chunks]
    text = "".join("".join(texts) for texts in chunks)
    assert read(*contents, content("user", "a")) == (
        *([Message.of(MODEL, text)] if text else []),
        Message.of(USER, "a"),
    )


def test_a_call_stands_where_the_model_made_it() -> None:
    """Between what it said."""
    parts: tuple[Part, ...] = (TextPart("ab"), ToolCallPart("", "f", "{}"), ToolCallPart("", "g", "{}"), TextPart("c"))
    contents = [content("model", "a"), content("model", "b", call()), content("model", call("g"), "c")]
    assert read(*contents) == (Message(MODEL, parts),)


def test_the_thoughts_of_the_model_go_no_further() -> None:
    """They are only counted; a content of nothing else is none."""
    contents = [
        content("user", "a"),
        content("model", {"text": "hm", "thought": True, "thoughtSignature": "c2ln"}),
        content("model", {"text": "so", "thought": True}, "b"),
    ]
    assert told(contents, "contents") == Told((Message.of(USER, "a"), Message.of(MODEL, "b")), ("hm", "so"))


def test_a_call_is_none_the_less_one_for_being_thought_of() -> None:
    """Only text is dropped."""
    (message,) = read(content("model", {**call(), "thought": True}))
    assert message.calls == (ToolCallPart("", "f", "{}"),)


@pytest.mark.parametrize("role", ["user", "function", "model", None])
def test_each_result_is_a_message(role: str | None) -> None:
    """Before what else stands in the content, and whoever is said to speak."""
    own = content(role, "look", result("f", "1", id="call_1"), result("g", "2"))
    assert read(content("model", call("f"), call("g")), own)[1:] == (
        Message(Role.TOOL, (ToolResultPart("call_1", "f"), TextPart("1"))),
        Message(Role.TOOL, (ToolResultPart(None, "g"), TextPart("2"))),
        Message.of(MODEL if role == "model" else USER, "look"),
    )


def test_results_without_ids_answer_calls_of_their_name_in_order() -> None:
    """Of several calls of one name the first result is the first one's."""
    calls = content("model", call("f", a=1), call("g"), call("f", a=2), call("f", a=3))
    results = content("user", result("f", "1"), result("f", "2"), result("g", "0"), result("f", "3"))
    again = [content("model", call("f", a=4)), content("function", result("f", "4"))]
    messages = numbered(read(content("user", "go"), calls, results, *again))
    told = [(message.answers.number, message.text) for message in messages if message.answers]
    assert told == [(1, "1"), (2, "0"), (3, "2"), (4, "3"), (5, "4")]


def test_a_result_with_the_id_of_its_call_is_known_by_it() -> None:
    """In whatever order they come."""
    calls = [{"functionCall": {"id": name, "name": "f"}} for name in ("one", "two")]
    results = [result("f", "2", id="two"), result("f", "1", id="one")]
    messages = numbered(read(content("model", *calls), content("user", *results)))
    told = [(message.answers.number, message.text) for message in messages if message.answers]
    assert told == [(1, "1"), (2, "2")]


@pytest.mark.parametrize(
    "system",
    [
        "Be kind.",
        {"parts": [{"text": "Be kind."}]},
        {"parts": {"text": "Be kind."}, "role": "user"},
        {"role": "anything", "parts": "Be kind."},
        [{"text": "Be kind."}],
    ],
)
def test_the_instruction_of_the_system_comes_first(system: object) -> None:
    """In all the forms in which it is written."""
    assert read(content("user", "a"), system=system) == (Message.of(Role.SYSTEM, "Be kind."), Message.of(USER, "a"))


@pytest.mark.parametrize("system", ["", {}, {"parts": []}, {"parts": [{"text": ""}]}, []])
def test_an_instruction_may_say_nothing(system: object) -> None:
    """Then there is none."""
    assert read(content("user", "a"), system=system) == (Message.of(USER, "a"),)


@pytest.mark.parametrize(
    ("contents", "param"),
    [
        (None, "contents"),
        ([], "contents"),
        ("", "contents"),
        (7, "contents"),
        ([7], "contents[0]"),
        ([{"role": "robot", "parts": []}], "contents[0].role"),
        ([{"role": 7}], "contents[0].role"),
        ([{"parts": 7}], "contents[0].parts"),
        ([{"parts": [{"text": "a"}, 7]}], "contents[0].parts[1]"),
        ([{"parts": [{}]}], "contents[0].parts[0]"),
        ({"parts": [{"text": 7}]}, "contents.parts[0].text"),
        ([{"role": "user", "parts": [{"function_call": {"name": "f"}}]}], "contents[0].parts[0].function_call"),
        ([{"parts": [{"functionCall": {"name": "f"}}]}], "contents[0].parts[0].functionCall"),
    ],
)
def test_contents_of_the_wrong_form_are_refused(contents: object, param: str) -> None:
    """The fault is named."""
    assert refused(contents).param == param


def test_a_fault_of_the_instruction_is_named() -> None:
    """As it is spelled."""
    assert refused(["a"], {"parts": [{"text": 7}]}).param == "systemInstruction.parts[0].text"


def test_a_history_has_a_length() -> None:
    """Counted in messages, not in the chunks in which answers came."""
    turn = [content("user", "a"), *[content("model", "b")] * 4]
    assert len(read(*turn * (MAX_MESSAGES // 2))) == MAX_MESSAGES
    assert refused([*turn * (MAX_MESSAGES // 2), content("user", "a")]).param == "contents"


def test_a_result_that_is_repeated_is_told_once() -> None:
    """gemini-cli repeats each when it resumes a session; results that name no call may well be alike."""
    once = result("f", "a", id="call_1")
    asked = content("model", {"functionCall": {"id": "call_1", "name": "f", "args": {}}})
    whole = read(content("user", "hi"), asked, content("user", once))
    assert read(content("user", "hi"), asked, content("user", once, once)) == whole
    assert read(content("user", "hi"), asked, content("user", once), content("user", once)) == whole
    other = result("f", "b", id="call_1")
    assert len(read(content("user", once, other))) == 2
    assert len(read(content("user", result("f", "a"), result("f", "a")))) == 2
