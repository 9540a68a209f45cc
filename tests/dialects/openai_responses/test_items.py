"""The items of a conversation as clients of Responses write them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.completion import Spoken
from app.chat.events import Event, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from app.chat.numbering import numbered
from app.chat.request import (
    ChatRequest,
    FilePart,
    Inline,
    Message,
    Remote,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.conversations.history import after, known
from app.dialects.openai_responses.items import EARLIER, PASSED_OVER, messages_of
from app.dialects.openai_responses.output import Output
from app.dialects.openai_responses.tools import Names
from app.errors import AttachmentRefused, InvalidRequest

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": '{"a": 1}'}
CALLED = ToolCallPart("call_1", "f", '{"a": 1}')
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
ANSWERED = Message(Role.TOOL, (ToolResultPart("call_1"), TextPart("done")))
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
SPACES = Names({"g": ("crm", "g"), "crm__f": ("crm", "f")})


def told(*items: object, names: Names = SPACES) -> tuple[Message, ...]:
    """The history that these items are."""
    return messages_of((), items, names)


def said(*texts: str) -> dict[str, Any]:
    """Words of the assistant's, as they stood in an answer."""
    parts = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []} for text in texts]
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": parts}


def refused(*items: object) -> InvalidRequest:
    """The error for these items."""
    with pytest.raises(InvalidRequest) as caught:
        told(*items)
    return caught.value


# --- Messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{}, {"type": "message"}, {"type": None}])
@pytest.mark.parametrize(
    ("role", "ours"),
    [
        ("user", Role.USER),
        ("assistant", Role.ASSISTANT),
        ("system", Role.SYSTEM),
        ("developer", Role.SYSTEM),
    ],
)
def test_a_message_may_do_without_its_type(role: str, ours: Role, kind: dict[str, object]) -> None:
    """It is the easiest way to write one."""
    assert told({**kind, "role": role, "content": "a"}) == (Message.of(ours, "a"),)


def test_a_message_holds_text_images_and_files() -> None:
    """In their order, each with its place."""
    picture = {"type": "input_image", "image_url": "data:image/png;base64,QQ==", "detail": "auto"}
    content = [
        {"type": "input_text", "text": "Look:"},
        picture,
        {"type": "input_file", "file_url": "https://a.example"},
    ]
    (_, message) = told({"role": "user", "content": "a"}, {"role": "user", "content": content})
    place = "input[1].content"
    assert message.parts == (
        TextPart("Look:"),
        FilePart(Inline(b"A", hashlib.sha256(b"A").hexdigest(), "image/png"), f"{place}[1]", image=True),
        FilePart(Remote("https://a.example"), f"{place}[2]"),
    )


def test_what_stands_in_an_earlier_answer_is_named_by_it() -> None:
    """The client did not send it this time."""
    picture = {"type": "input_image", "image_url": "https://a.example/a.png"}
    (message,) = messages_of([{"role": "user", "content": [picture]}], [], SPACES)
    assert message.files[0].place.startswith(f"{EARLIER}.")


@pytest.mark.parametrize("content", [{}, {"content": None}, {"content": []}])
def test_an_assistant_that_said_nothing_says_nothing(content: dict[str, object]) -> None:
    """Calls may stand behind it."""
    nothing = {"type": "message", "role": "assistant", **content}
    assert told(nothing) == ()
    assert told(nothing, CALL) == (Message(Role.ASSISTANT, (CALLED,)),)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ("hi", "input[1]"),
        (None, "input[1]"),
        ([], "input[1]"),
        ({}, "input[1].type"),
        ({"content": "a"}, "input[1].type"),
        ({"type": 7}, "input[1].type"),
        ({"type": []}, "input[1].type"),
        ({"type": "message", "content": "a"}, "input[1].role"),
        ({"role": "robot", "content": "a"}, "input[1].role"),
        ({"role": "tool", "content": "a"}, "input[1].role"),
        ({"role": ["user"], "content": "a"}, "input[1].role"),
        ({"role": "user"}, "input[1].content"),
        ({"role": "user", "content": 7}, "input[1].content"),
        ({"role": "system", "content": None}, "input[1].content"),
        ({"role": "user", "content": [{"type": "hologram"}]}, "input[1].content[0].type"),
        ({"type": "input_text", "text": "a"}, "input[1].type"),
        ({"type": "hologram", "content": [{"a": 1}]}, "input[1].type"),
        ({"type": "hologram_output", "output": "a"}, "input[1].type"),
        ({"type": "hologram_call", "arguments": "{}"}, "input[1].type"),
        ({"type": "function_call", "arguments": "{}"}, "input[1].name"),
        ({"type": "function_call", "name": "f", "arguments": 7}, "input[1].arguments"),
        ({"type": "custom_tool_call", "name": "f", "input": 7}, "input[1].input"),
        ({"type": "function_call_output", "output": [{"type": "x"}]}, "input[1].output[0].type"),
    ],
)
def test_what_is_wrong_is_named(item: object, param: str) -> None:
    """In `param` and in the message."""
    error = refused({"role": "user", "content": "a"}, item)
    assert error.param == param
    assert error.message.startswith(param.removesuffix(".type"))


def test_sound_is_refused_as_such() -> None:
    """Kimi has no ears."""
    with pytest.raises(AttachmentRefused):
        told({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]})


# --- An answer comes back ----------------------------------------------------------------------------------


def test_an_answer_is_one_message() -> None:
    """Its words first, and then its calls, whatever the order of its items."""
    second = {**CALL, "call_id": "call_2"}
    one = Message(Role.ASSISTANT, (TextPart("Let me see."), CALLED, ToolCallPart("call_2", "f", '{"a": 1}')))
    assert told(THOUGHT, said("Let me see."), CALL, second) == (one,)
    assert told(CALL, THOUGHT, second, said("Let me see.")) == (one,)


def test_an_answer_ends_with_what_others_say() -> None:
    """Results are messages of their own."""
    other = {**RESULT, "call_id": "call_2"}
    assert told({"role": "user", "content": "a"}, CALL, RESULT, other, CALL, RESULT, said("b")) == (
        Message.of(Role.USER, "a"),
        Message(Role.ASSISTANT, (CALLED,)),
        ANSWERED,
        Message(Role.TOOL, (ToolResultPart("call_2"), TextPart("done"))),
        Message(Role.ASSISTANT, (CALLED,)),
        ANSWERED,
        Message.of(Role.ASSISTANT, "b"),
    )


@pytest.mark.parametrize(
    ("one", "two", "text"),
    [
        ("a", "b", "a\n\nb"),
        ("a\n", "b", "a\nb"),
        ("a", " b", "a b"),
        ("", "b", "b"),
        ("a", "", "a"),
        ("a\n\n", "\n\nb", "a\n\n\n\nb"),
    ],
)
def test_words_around_what_was_thought_are_put_together(one: str, two: str, text: str) -> None:
    """With a blank line where neither has white space, as Kimi's own are."""
    assert told(said(one), THOUGHT, said(two)) == (Message.of(Role.ASSISTANT, text),)


@pytest.mark.parametrize("kind", sorted(PASSED_OVER))
def test_what_the_vendor_s_own_tools_did_is_passed_over(kind: str) -> None:
    """Nobody here can have called them; what was thought is not sent again."""
    item = {"type": kind, "id": "x", "output": "a", "arguments": "{}", "content": None, "encrypted_content": "x"}
    assert told({"role": "user", "content": "a"}, item, said("b")) == told({"role": "user", "content": "a"}, said("b"))


@pytest.mark.parametrize("item", [{"type": "hologram"}, {"type": "hologram", "id": "x", "status": "completed"}])
def test_an_unknown_item_that_says_nothing_is_passed_over(item: object) -> None:
    """There will be new ones."""
    assert told(item) == ()


# --- Calls and results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("call_id", [{}, {"call_id": None}, {"call_id": 7}])
def test_a_call_needs_no_id(call_id: dict[str, object]) -> None:
    """The order of calls and results tells enough."""
    (message,) = told({**CALL, "call_id": None, **call_id, "id": "fc_1", "status": "completed"})
    assert message.calls == (ToolCallPart("", "f", '{"a": 1}'),)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ({"name": "g", "namespace": "crm"}, "g"),
        ({"name": "f", "namespace": "crm"}, "crm__f"),
        ({"name": "f", "namespace": None}, "f"),
        ({"name": "f", "namespace": "gone"}, "f"),
    ],
)
def test_a_call_has_the_name_that_the_model_knows(call: dict[str, object], name: str) -> None:
    """In a namespace it may be another than the client's."""
    for kind in ("function_call", "custom_tool_call"):
        (message,) = told({"type": kind, "call_id": "1", **call})
        assert [part.name for part in message.calls] == [name]


def test_a_custom_call_has_its_text_as_input() -> None:
    """As the model was asked to write it."""
    (message,) = told({"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": "a\n"})
    assert message.calls == (ToolCallPart("call_1", "patch", '{"input": "a\\n"}', freeform=True),)


@pytest.mark.parametrize(
    ("item", "name", "arguments"),
    [
        ({"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"]}}, "local_shell", ["ls"]),
        ({"type": "shell_call", "action": {"commands": ["ls"]}}, "shell", ["ls"]),
        ({"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}}, "apply_patch", "a"),
    ],
)
def test_a_call_of_a_built_in_tool_is_told_as_a_call(item: dict[str, object], name: str, arguments: object) -> None:
    """The client ran it: what came of it has to have a question."""
    (message,) = told({**item, "call_id": "call_1"})
    (call,) = message.calls
    assert [call.call_id, call.name] == ["call_1", name]
    assert arguments in json.loads(call.arguments).values()
    (bare,) = told({"type": item["type"]})
    assert bare.calls == (ToolCallPart("", name, "{}"),)


@pytest.mark.parametrize(
    "kind",
    [
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
    ],
)
@pytest.mark.parametrize(("output", "text"), [("done", "done"), ("", ""), ({"a": 1}, '{"a": 1}'), (7, "7")])
def test_a_result_is_text(kind: str, output: object, text: str) -> None:
    """Whatever it is."""
    message = Message(Role.TOOL, (ToolResultPart("call_1"), TextPart(text)))
    assert told({"type": kind, "call_id": "call_1", "output": output}) == (message,)


def test_a_result_may_hold_images() -> None:
    """Tools give pictures, too."""
    output = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://a.example/a.png"}]
    (message,) = told({**RESULT, "output": output})
    picture = FilePart(Remote("https://a.example/a.png"), "input[0].output[1]", image=True)
    assert message.parts == (ToolResultPart("call_1"), TextPart("a"), picture)


def test_a_shell_s_result_is_told_as_it_is() -> None:
    """With its streams and its exit code."""
    output = [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    (message,) = told({"type": "shell_call_output", "call_id": "call_1", "output": output})
    assert json.loads(message.text) == output


@pytest.mark.parametrize("output", [{}, {"output": None}, {"output": []}])
def test_a_result_may_be_empty(output: dict[str, object]) -> None:
    """A tool that says nothing has run all the same."""
    (message,) = told({"type": "function_call_output", "call_id": "call_1", **output})
    assert message.parts == (ToolResultPart("call_1"),)


def test_a_result_may_tell_of_a_failure() -> None:
    """Where its type has a word for it."""
    (message,) = told({"type": "apply_patch_call_output", "call_id": "c", "status": "failed", "output": "no"})
    assert message.answers == ToolResultPart("c", failed=True)


@pytest.mark.parametrize(("ids", "known_as"), [({"id": "x"}, "x"), ({"id": "x", "call_id": "c"}, "c"), ({}, None)])
def test_a_result_names_its_call(ids: dict[str, object], known_as: str | None) -> None:
    """That of a local shell by its own id; some by none."""
    (message,) = told({"type": "local_shell_call_output", "output": "a", **ids})
    assert message.answers == ToolResultPart(known_as)


# --- Recognised --------------------------------------------------------------------------------------------


def answer(*events: Event) -> tuple[Message, list[object]]:
    """An answer as a conversation remembers it, and the items that its client is given."""
    spoken, output = Spoken(), Output("resp_" + "0" * 32, SPACES)
    for event in events:
        spoken.feed(event)
        list(output.feed(event))
    list(output.finish(whole=True))
    items: list[object] = orjson.loads(orjson.dumps(output.items))
    return spoken.message, items


def call(index: int, name: str, *pieces: str, freeform: bool = False) -> list[Event]:
    """A call, piece by piece."""
    deltas = [ToolCallDelta(index, piece) for piece in pieces]
    return [ToolCallStart(index, f"call_{index}", name, freeform), *deltas, ToolCallEnd(index)]


@pytest.mark.parametrize(
    "events",
    [
        [TextDelta("Hello"), TextDelta(" there.\n")],
        [ThinkingDelta("hm"), TextDelta("Hello")],
        [TextDelta("One."), ThinkingDelta("hm"), TextDelta("\n\nTwo.")],
        call(0, "f", '{"a"', ": 1.0}"),
        [*call(0, "f", "{}"), *call(1, "g", '{"b": "é"}')],
        [ThinkingDelta("hm"), TextDelta("Let me see."), *call(0, "crm__f", "{}")],
        [TextDelta("One."), *call(0, "f", "{}"), TextDelta("\n\nTwo."), *call(1, "f", "{}")],
        [TextDelta("Patch:"), *call(0, "patch", '{"input":', '"a\\n\\"b\\""}', freeform=True)],
        [*call(0, "f", "{}"), ThinkingDelta("hm"), *call(1, "f", "{}"), TextDelta("Done.")],
    ],
    ids=["text", "thinking", "around thinking", "call", "calls", "all", "interleaved", "custom", "thinking between"],
)
@pytest.mark.parametrize("thoughts", [True, False])
def test_an_answer_that_comes_back_is_recognised(events: list[Event], *, thoughts: bool) -> None:
    """As its items are, with or without what was thought."""
    message, items = answer(*events)
    question = {"role": "user", "content": "a"}
    results = [{**RESULT, "call_id": part.call_id} for part in message.calls]
    back = [item for item in items if thoughts or (isinstance(item, dict) and item["type"] != "reasoning")]
    before = ChatRequest("kimi", told(question))
    later = ChatRequest("kimi", numbered(told(question, *back, *results, {"role": "user", "content": "b"})))
    assert after(before, "kimi", message) == known(later, "kimi")


ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "function_call", "custom_tool_call", "function_call_output", "shell_call"])
        | ANY_JSON,
        "role": st.sampled_from(["user", "assistant", "developer"]) | ANY_JSON,
        "content": ANY_JSON,
        "name": ANY_JSON,
        "namespace": ANY_JSON,
        "arguments": ANY_JSON,
        "output": ANY_JSON,
        "call_id": ANY_JSON,
        "action": ANY_JSON,
    },
)


@given(st.lists(ITEMS | ANY_JSON, max_size=5))
def test_nothing_but_what_is_told_comes_of_a_history(items: list[object]) -> None:
    """Of anything at all there is a history, or an error that names a place."""
    param: str | None = "input[0]"
    try:
        told(*items)
    except InvalidRequest as error:
        param = error.param
    assert str(param).startswith("input[")
