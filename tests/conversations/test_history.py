"""Histories as digests: what is recognised again, and what never is."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.numbering import numbered
from app.chat.request import (
    ChatRequest,
    Choice,
    Effort,
    FilePart,
    Inline,
    Message,
    Remote,
    Role,
    Stored,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    ToolUse,
)
from app.conversations.history import after, known, last_answer
from tests.conversations.trees import turns

ANSWER = "First line.\n\n    code\nLast line."
ASKED = ChatRequest("kimi", turns("hi"))
NAMED = replace(ASKED, session="session-1")


def said(text: str) -> Message:
    """An answer of words alone."""
    return Message.of(Role.ASSISTANT, text)


def offering(*names: str) -> ToolUse:
    """These tools, to be called or not."""
    return ToolUse(tuple(ToolSpec(name) for name in names))


def goes_on(request: ChatRequest, *, answer: str, more: str = "and?") -> ChatRequest:
    """The next request of a client that keeps this for the answer."""
    return replace(request, messages=(*request.messages, *turns("", answer, more)[1:]))


def is_recognised(before: ChatRequest, then: ChatRequest, *, kind: str = "kimi", answer: str = ANSWER) -> list[str]:
    """By which digests a request is seen to go on where an answer to another one ended."""
    told, found = after(before, "kimi", said(answer)), known(then, kind)
    if found is None:
        return []
    pairs = {"strict": (told.strict, found.strict), "lenient": (told.lenient, found.lenient)}
    return [name for name, (one, other) in pairs.items() if one is not None and one == other]


# --- What is there to go on from ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "place"),
    [((), None), (turns("a"), None), (turns("a", "b"), 1), (turns("a", "b", "c"), 1), (turns("a", "b", "c", "d"), 3)],
)
def test_the_last_answer_is_the_last_assistant_message(messages: tuple[Message, ...], place: int | None) -> None:
    """Wherever it stands."""
    assert last_answer(messages) == place


@pytest.mark.parametrize("messages", [turns("a"), turns("a", "b"), turns("a", "b", "c", "d")])
def test_without_an_answer_or_anything_after_it_nothing_is_known(messages: tuple[Message, ...]) -> None:
    """A first request, and one whose answer the client has begun."""
    assert known(ChatRequest("kimi", messages), "kimi") is None


@pytest.mark.parametrize("role", [Role.USER, Role.TOOL, Role.SYSTEM])
def test_whatever_comes_after_the_answer_is_new(role: Role) -> None:
    """It is no part of what is recognised."""
    then = replace(ASKED, messages=(*turns("hi", ANSWER), Message.of(role, "new")))
    assert is_recognised(ASKED, then) == ["strict"]


# --- What is recognised ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "by"),
    [
        (ANSWER, ["strict", "lenient"]),
        (f"\n {ANSWER} \n", ["strict", "lenient"]),
        (ANSWER.replace("\n", "\r\n"), ["strict", "lenient"]),
        (f"<think>\nwell, well\n</think>\n\n{ANSWER}", ["strict", "lenient"]),
        (f"<thinking>well</thinking>{ANSWER}", ["strict", "lenient"]),
        (f"<reasoning>well</reasoning>{ANSWER}", ["strict", "lenient"]),
        (f'<details open type="reasoning" done="true">\n> well\n</details>\n{ANSWER}', ["strict", "lenient"]),
        (" ".join(ANSWER.split()), ["lenient"]),
        (ANSWER.replace("\n", "\n\n"), ["lenient"]),
        (ANSWER.replace("Last", "First"), []),
        (ANSWER + "!", []),
        (ANSWER[:-1], []),
        (ANSWER.lower(), []),
        (f"{ANSWER}<think>well</think>", []),
        ("", []),
    ],
)
def test_an_answer_is_recognised_in_what_clients_make_of_it(kept: str, by: list[str]) -> None:
    """Thinking and the edges never matter, the layout not where the client names the conversation; a letter does."""
    assert is_recognised(NAMED, goes_on(NAMED, answer=kept)) == by


@pytest.mark.parametrize("session", [None, "session-1"])
def test_the_user_s_own_words_are_taken_as_they_are(session: str | None) -> None:
    """A space may matter to the person."""
    asked = replace(ASKED, session=session)
    then = goes_on(replace(asked, messages=turns("hi ")), answer=ANSWER)
    assert is_recognised(asked, then) == []


@pytest.mark.parametrize("changes", [{"use_search": True}, {"effort": Effort.HIGH}, {"model": "gpt-4o"}])
def test_settings_of_a_turn_do_not_matter(changes: dict[str, object]) -> None:
    """A conversation can go on with another of these."""
    then = replace(goes_on(ASKED, answer=ANSWER), **changes)  # type: ignore[arg-type] # fields by their names
    assert is_recognised(ASKED, then) == ["strict"]


def test_tools_are_the_same_in_any_order() -> None:
    """Clients keep them in sets."""
    asked = replace(ASKED, tools=offering("a", "b"))
    assert is_recognised(asked, replace(goes_on(asked, answer=ANSWER), tools=offering("b", "a"))) == ["strict"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": offering("another")},
        {"tools": offering("a", "b")},
        {"tools": offering()},
        {"messages": (Message.of(Role.SYSTEM, "Be brief."), *turns("hi", ANSWER, "and?"))},
        {"messages": turns("hello", ANSWER, "and?")},
        {"messages": turns("hi", ANSWER, "and?", "more", "and?")},
        {"messages": (*turns("hi"), *turns("hi", ANSWER, "and?"))},
        {"messages": (Message.of(Role.TOOL, "hi"), *turns("hi", ANSWER, "and?")[1:])},
    ],
)
def test_another_history_is_never_recognised(changes: dict[str, object]) -> None:
    """Tools, system text, a turn more, another speaker."""
    asked = replace(NAMED, tools=offering("a"))
    then = replace(goes_on(asked, answer=ANSWER), **changes)  # type: ignore[arg-type] # fields by their names
    assert is_recognised(asked, then) == []


def test_another_kind_of_request_is_never_recognised() -> None:
    """No conversation serves two models."""
    assert is_recognised(NAMED, goes_on(NAMED, answer=ANSWER), kind="kimi-k3") == []


def test_another_session_is_recognised_by_the_history_alone() -> None:
    """As is one that has lost its name."""
    for session in ("session-2", None):
        assert is_recognised(NAMED, replace(goes_on(NAMED, answer=ANSWER), session=session)) == ["strict"]


def test_parts_are_as_good_as_lines() -> None:
    """The text that is sent is the same."""
    parts = Message(Role.USER, (TextPart("a"), TextPart("b")))
    asked = replace(ASKED, messages=(parts,))
    assert is_recognised(asked, goes_on(replace(ASKED, messages=turns("a\nb")), answer=ANSWER)) == ["strict"]


# --- Attachments -------------------------------------------------------------------------------------------


def picture(name: str = "a", *, place: str = "messages.0.content.0", called: str | None = None) -> FilePart:
    """A picture by its digest."""
    return FilePart(Inline(b"", name * 64), place, called, image=True)


def linked(url: str = "https://a.example/") -> FilePart:
    """A picture by its address."""
    return FilePart(Remote(url), "messages.0.content.0", image=True)


def on_shelf(file_id: str = "file-1") -> FilePart:
    """A picture by its id."""
    return FilePart(Stored(file_id), "messages.0.content.0")


def showing(*parts: str | FilePart, role: Role = Role.USER) -> Message:
    """A message of these parts."""
    return Message(role, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def recognised(before: Message, then: Message) -> list[str]:
    """By which digests a history that begins so is recognised where it began with the other."""
    asked = replace(NAMED, messages=(before,))
    return is_recognised(asked, replace(NAMED, messages=(then, *turns("", ANSWER, "and?")[1:])))


BOTH = ["strict", "lenient"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (picture(), picture()),
        (picture(), picture(place="input.3.content.7")),
        (picture(called="a.png"), picture(called="b.png")),
        (linked(), linked()),
        (on_shelf(), on_shelf()),
    ],
    ids=["bytes", "another place", "another name", "address", "id"],
)
def test_the_same_attachment_is_recognised(one: FilePart, other: FilePart) -> None:
    """By what it is, not by where it stands or what it is called."""
    assert recognised(showing("hi", one), showing("hi", other)) == BOTH


@pytest.mark.parametrize(
    "other",
    [
        showing("hi", picture("b")),
        showing("hi", linked()),
        showing("hi", on_shelf()),
        showing("hi", picture(), picture("b")),
        showing("hi", picture(), picture()),
        showing("hi"),
        showing("ho", picture()),
        showing(picture()),
        showing("hi", picture(), role=Role.SYSTEM),
        showing("hi", "inline:" + "a" * 64),
        showing("hi\ninline:" + "a" * 64),
    ],
)
def test_another_attachment_is_another_history(other: Message) -> None:
    """Kimi has not seen that one."""
    assert recognised(showing("hi", picture()), other) == []
    assert recognised(other, showing("hi", picture())) == []


@pytest.mark.parametrize(("one", "other"), [(linked(), linked("https://b.example/")), (on_shelf(), on_shelf("file-2"))])
def test_another_address_or_id_is_another_history(one: FilePart, other: FilePart) -> None:
    """What stands behind it is not looked at."""
    assert recognised(showing("hi", one), showing("hi", other)) == []


def test_the_order_of_attachments_matters() -> None:
    """The text may speak of the first and the second."""
    one = showing("hi", picture("a"), picture("b"))
    assert recognised(one, showing("hi", picture("b"), picture("a"))) == []
    assert recognised(one, showing(picture("a"), "hi", picture("b"))) == BOTH


def test_an_attachment_belongs_to_its_message() -> None:
    """A picture of the second turn is none of the first."""
    asked = replace(ASKED, messages=(showing("a", picture()), *turns("", "b", "c")[1:]))
    moved = replace(ASKED, messages=(*turns("a", "b"), showing("c", picture()), *turns("", ANSWER, "and?")[1:]))
    assert is_recognised(asked, moved) == []


def test_an_attachment_of_the_new_turn_does_not_matter() -> None:
    """It is no part of what is recognised."""
    then = replace(ASKED, messages=(*turns("hi", ANSWER), showing("and?", picture())))
    assert is_recognised(ASKED, then) == ["strict"]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("text", ["", "c"])
def test_an_attachment_cannot_pass_for_a_message(role: Role, text: str) -> None:
    """Whatever a client takes for its address or id."""
    real = replace(ASKED, messages=(user("a"), Message.of(role, text), user("d")))
    for kind in (Remote, Stored):
        forged = [FilePart(kind(word), "place") for word in (role.value, text)]
        asked = replace(ASKED, messages=(showing("a", *forged), user("d")))
        assert is_recognised(asked, goes_on(real, answer=ANSWER)) == []


def user(text: str) -> Message:
    """What a person says."""
    return Message.of(Role.USER, text)


# --- Calls of tools ----------------------------------------------------------------------------------------

ARGUMENTS = '{"path": "/a", "limit": 5, "deep": {"x": [1.5, null], "é": "ü"}}'


def calling(*calls: tuple[str, str], text: str = "", call_id: str = "call", freeform: bool = False) -> Message:
    """An assistant's message that calls, with its words before that."""
    made = [ToolCallPart(f"{call_id}-{place}", *call, freeform) for place, call in enumerate(calls, 1)]
    return Message(Role.ASSISTANT, (*([TextPart(text)] if text else []), *made))


def result(text: str = "42", number: int | None = 1, *, call_id: str = "call-1", failed: bool = False) -> Message:
    """A result, as it is once its call is known."""
    return Message(Role.TOOL, (ToolResultPart(call_id, "Read", failed, number), TextPart(text)))


def recognises(answer: Message, repeated: Message, *between: Message) -> list[str]:
    """By which digests a request is recognised that repeats an answer in this way."""
    told = after(NAMED, "kimi", answer)
    found = known(replace(NAMED, messages=(*NAMED.messages, repeated, *(between or (result(),)))), "kimi")
    assert found is not None
    pairs = {"strict": (told.strict, found.strict), "lenient": (told.lenient, found.lenient)}
    return [name for name, (one, other) in pairs.items() if one == other]


READ = calling(("Read", ARGUMENTS), text="Let me see.")


@pytest.mark.parametrize(
    "repeated",
    [
        READ,
        calling(("Read", ARGUMENTS)),
        calling(("Read", ARGUMENTS), text="Something else."),
        calling(("Read", ARGUMENTS), call_id="another"),
        calling(("Read", '{"limit":5,"path":"/a","deep":{"\\u00e9":"\\u00fc","x":[1.5,null]}}')),
        calling(("Read", ARGUMENTS.replace(": ", ":  \n"))),
        calling(("Read", ARGUMENTS.replace(" 5,", " 5.0,").replace("1.5", "15e-1"))),
    ],
    ids=["as it was", "no content", "other content", "other ids", "minified", "laid out", "other numbers"],
)
def test_a_call_is_recognised_in_what_clients_make_of_it(repeated: Message) -> None:
    """They read the arguments and write them anew, and leave out what was said beside the call."""
    assert recognises(READ, repeated) == BOTH


@pytest.mark.parametrize(
    ("wrote", "writes"),
    [
        ("1.0", "1"),
        ("1e3", "1000"),
        ("-0.0", "0"),
        ("1e21", "1e+21"),
        ("0.10", "0.1"),
        ("12345678901234567890.0", "1.2345678901234567e+19"),
    ],
)
def test_numbers_are_recognised_as_javascript_writes_them(wrote: str, writes: str) -> None:
    """It has one kind of number, and writes it in its own way."""
    assert recognises(calling(("Read", f'{{"a": {wrote}}}')), calling(("Read", f'{{"a":{writes}}}'))) == BOTH


@pytest.mark.parametrize(
    "repeated",
    [
        calling(("Bash", ARGUMENTS)),
        calling(("Read", ARGUMENTS.replace("/a", "/b"))),
        calling(("Read", ARGUMENTS.replace("5", '"5"'))),
        calling(("Read", ARGUMENTS.replace("null", "false"))),
        calling(("Read", "{}")),
        calling(("Read", ARGUMENTS + "x")),
        calling(("Read", ARGUMENTS), ("Read", ARGUMENTS)),
        said("Let me see."),
        said(""),
        said(f"call Read {ARGUMENTS}"),
    ],
)
def test_another_call_is_never_recognised(repeated: Message) -> None:
    """Name, arguments, how many: the model would see what it has not said."""
    assert recognises(READ, repeated) == []
    assert recognises(repeated, READ) == []


EDITS = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "all": {"type": "boolean", "default": False}, "deep": True},
}


@pytest.mark.parametrize(
    ("schema", "repeated", "same"),
    [
        (EDITS, '{"all": false, "path": "/a"}', True),
        (EDITS, '{"all": true, "path": "/a"}', False),
        (EDITS, '{"all": null, "path": "/a"}', False),
        (EDITS, '{"path": "/a", "deep": {"all": false}}', False),
        (EDITS["properties"], '{"all": false, "path": "/a"}', False),
        (True, '{"all": false, "path": "/a"}', False),
    ],
)
def test_a_call_is_recognised_with_the_defaults_of_its_tool(schema: object, repeated: str, *, same: bool) -> None:
    """Claude Code (2.1.197) writes `replace_all: false` into the calls of its Edit, which the model never said."""
    request = replace(NAMED, tools=ToolUse((ToolSpec("Read"), ToolSpec("Edit", parameters=json.dumps(schema)))))
    told = after(request, "kimi", calling(("Edit", '{"path": "/a"}')))
    messages = (*request.messages, calling(("Edit", repeated)), result())
    found = known(replace(request, messages=messages), "kimi")
    assert found is not None
    assert [told.strict == found.strict, told.lenient == found.lenient] == [same, same]


OURS = "call_0123456789abcdef01234567"


def with_id(call_id: str, arguments: str) -> Message:
    """A message with one call of this id."""
    return Message(Role.ASSISTANT, (ToolCallPart(call_id, "Write", arguments),))


@pytest.mark.parametrize(
    ("call_id", "how"),
    [(OURS, ["lenient"]), ("call_1", []), ("toolu_0123456789abcdef01234567", []), (OURS + "x", [])],
)
def test_a_call_of_ours_is_known_by_its_id_where_the_session_has_a_name(call_id: str, how: list[str]) -> None:
    """Claude Code cuts white space out of arguments, mends them, and keeps ids and the name of its session."""
    wrote, writes = '{"content": "a = 1  \\n"}', '{"content": "a = 1\\n"}'
    assert recognises(with_id(call_id, wrote), with_id(call_id, writes)) == how
    assert recognises(with_id(call_id, wrote), with_id(call_id, wrote)) == BOTH


def test_another_call_of_ours_is_another() -> None:
    """Also where it says the same: the branch of another answer."""
    assert recognises(with_id(OURS, "{}"), with_id(OURS.replace("0", "f"), "{}")) == ["strict"]


def test_the_order_of_calls_matters() -> None:
    """Their results are numbered by it."""
    one, other = ("Read", "{}"), ("Bash", "{}")
    assert recognises(calling(one, other), calling(other, one)) == []
    assert recognises(calling(one, other), calling(one, other)) == BOTH


@pytest.mark.parametrize("arguments", ["", "not json", "[1", '{"a": NaN}', "[" * 5000, "9" * 5000])
def test_arguments_that_are_no_json_are_taken_as_they_are(arguments: str) -> None:
    """A letter counts."""
    assert recognises(calling(("Read", arguments)), calling(("Read", arguments))) == BOTH
    assert recognises(calling(("Read", arguments)), calling(("Read", arguments + " "))) in ([], BOTH)
    assert recognises(calling(("Read", arguments)), calling(("Read", arguments + "x"))) == []


def test_a_freeform_call_is_one_with_its_text_as_an_argument() -> None:
    """The client may give it back in either way."""
    arguments = '{"input": "*** Begin"}'
    assert recognises(calling(("Patch", arguments), freeform=True), calling(("Patch", arguments))) == BOTH


def test_a_name_and_arguments_cannot_pass_for_others() -> None:
    """Wherever the one ends and the other begins."""
    assert recognises(calling(("a b", "c")), calling(("a", "b c"))) == []
    assert recognises(calling(("a", "{}")), calling(('a" "b', "{}"))) == []


def then(*results: Message, tools: ToolUse = ASKED.tools) -> ChatRequest:
    """A history whose calls were answered so, and an answer to that."""
    return replace(ASKED, messages=(*turns("hi"), calling(("Read", "{}"), ("Read", "{}")), *results), tools=tools)


ANSWERED = then(result("1", 1), result("2", 2, call_id="call-2"))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (ANSWERED, True),
        (then(result("1", 1, call_id="x"), result("2", 2, call_id="y")), True),
        (then(result("1", 1), result("3", 2)), False),
        (then(result("2", 1), result("1", 2)), False),
        (then(result("1", 2), result("2", 1)), False),
        (then(result("1", 1, failed=True), result("2", 2)), False),
        (then(result("1", 1)), False),
        (then(result("1", 1), result("2", None)), False),
        (then(result("1", 1), result("2 ", 2)), False),
        (then(result("1", 1), Message.of(Role.USER, "2")), False),
    ],
    ids=["same", "ids", "text", "swapped", "numbers", "failed", "missing", "unknown", "space", "no result"],
)
def test_a_history_is_recognised_by_its_results(other: ChatRequest, *, same: bool) -> None:
    """What a tool gave, for which call, and whether it failed; not by ids."""
    assert is_recognised(ANSWERED, goes_on(other, answer=ANSWER)) == ["strict"] * same


@pytest.mark.parametrize("orders", [(0, 1), (1, 0)])
def test_results_in_another_order_are_the_same(orders: tuple[int, int]) -> None:
    """Their ids tell whose they are."""
    results = [Message(Role.TOOL, (ToolResultPart(f"call-{place}"), TextPart(str(place)))) for place in (1, 2)]
    asked = then(*(results[place] for place in orders))
    asked = replace(asked, messages=numbered(asked.messages))
    assert is_recognised(ANSWERED, goes_on(asked, answer=ANSWER)) == ["strict"]


@pytest.mark.parametrize(
    ("tool", "same"),
    [
        (ToolSpec("Read", "Read.", '{"type":"object","properties":{"a":{"type":"string"}}}'), True),
        (ToolSpec("Read", "Read.", '{ "properties": {"a": {"type": "string"}}, "type": "object"}'), True),
        (ToolSpec("Read", "Read.", '{"type":"object","properties":{"a":{"type":"string"}}}', eager=True), True),
        (ToolSpec("Read", "Look.", '{"type":"object","properties":{"a":{"type":"string"}}}'), False),
        (ToolSpec("Read", "Read.", '{"type":"object","properties":{"a":{"type":"integer"}}}'), False),
        (ToolSpec("Look", "Read.", '{"type":"object","properties":{"a":{"type":"string"}}}'), False),
        (ToolSpec("Read", "Read.", '{"type":"object","properties":{"a":{"type":"string"}}}', freeform=True), False),
    ],
)
def test_a_history_is_recognised_by_its_tools(tool: ToolSpec, *, same: bool) -> None:
    """All that the model was told of them; neither how it was laid out, nor how calls are passed on."""
    first = ToolSpec("Read", "Read.", '{"type":"object","properties":{"a":{"type":"string"}}}')
    asked = replace(ASKED, tools=ToolUse((first,)))
    other = replace(goes_on(asked, answer=ANSWER), tools=ToolUse((tool,)))
    assert is_recognised(asked, other) == ["strict"] * same


@pytest.mark.parametrize(
    ("use", "same"),
    [
        (ToolUse(offering("a", "b").tools, Choice.REQUIRED), True),
        (ToolUse(offering("a", "b").tools, parallel=False), True),
        (ToolUse(offering("a", "b").tools, allowed=("b", "a")), True),
        (ToolUse(offering("a", "b", "c").tools, allowed=("b", "a")), True),
        (ToolUse(offering("a", "b").tools, allowed=("a",)), False),
        (ToolUse(offering("a", "b").tools, Choice.NONE), False),
    ],
)
def test_what_counts_are_the_tools_that_the_model_was_told_of(use: ToolUse, *, same: bool) -> None:
    """How they are to be used is told anew in each turn."""
    asked = replace(ASKED, tools=offering("a", "b"))
    assert is_recognised(asked, replace(goes_on(asked, answer=ANSWER), tools=use)) == ["strict"] * same


# --- Properties --------------------------------------------------------------------------------------------

TEXT = st.text("ab <\n", max_size=6)
HISTORY = st.lists(TEXT, min_size=3, max_size=7).filter(lambda texts: len(texts) % 2)
SESSION = st.sampled_from([None, "a", "ab"])
TOOLS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(tuple)


@given(HISTORY, SESSION, TOOLS)
def test_an_unchanged_history_is_always_recognised(
    texts: list[str], session: str | None, tools: tuple[str, ...]
) -> None:
    """Whatever it says."""
    asked = ChatRequest("kimi", turns(*texts[:-2]), tools=offering(*tools), session=session)
    assert "strict" in is_recognised(asked, goes_on(asked, answer=texts[-2]), answer=texts[-2])


FILES = st.sampled_from(
    [
        picture("a"),
        picture("b"),
        *(FilePart(kind(word), "place") for kind in (Remote, Stored) for word in ("", "user", "assistant", "a")),
    ]
)
MESSAGES = st.lists(
    st.builds(
        lambda text, files, role: showing(text, *files, role=role),
        st.sampled_from(["", "a", "user"]),
        st.lists(FILES, max_size=2),
        st.sampled_from([Role.USER, Role.SYSTEM, Role.ASSISTANT]),
    ),
    min_size=1,
    max_size=3,
)


@given(MESSAGES, MESSAGES)
def test_histories_with_attachments_are_told_apart(one: list[Message], other: list[Message]) -> None:
    """What is recognised says the same and shows the same, in the same messages."""

    def shown(messages: list[Message]) -> list[tuple[Role, str, list[str]]]:
        return [(message.role, message.text, [file.identity for file in message.files]) for message in messages]

    asked = replace(ASKED, messages=tuple(one))
    then = replace(ASKED, messages=(*other, *turns("", ANSWER, "and?")[1:]))
    assert (is_recognised(asked, then) == ["strict"]) == (shown(one) == shown(other))


FEW = st.lists(st.sampled_from(["", "a", "b", "ab", " a"]), min_size=3, max_size=5).filter(lambda texts: len(texts) % 2)
LIKELY = st.builds(lambda texts, session, tools: (texts, session, tools), FEW, SESSION, TOOLS)


@given(LIKELY, LIKELY)
def test_what_is_recognised_says_the_same(
    one: tuple[list[str], str | None, tuple[str, ...]], other: tuple[list[str], str | None, tuple[str, ...]]
) -> None:
    """No piece of a history passes for another piece."""
    (told, session, tools), (found, its_session, its_tools) = one, other
    asked = ChatRequest("kimi", turns(*told[:-2]), tools=offering(*tools), session=session)
    then = ChatRequest("kimi", turns(*found), tools=offering(*its_tools), session=its_session)
    if is_recognised(asked, then, answer=told[-2]):
        assert told[:-1:2] == found[:-1:2]
        assert ["".join(text.split()) for text in told[1::2]] == ["".join(text.split()) for text in found[1::2]]
        assert sorted(tools) == sorted(its_tools)


PARTS = st.sampled_from(
    [
        TextPart("a"),
        TextPart('call "a" {}'),
        TextPart("result 1 False"),
        ToolCallPart("x", "a", "{}"),
        ToolCallPart("y", "a", "{}"),
        ToolCallPart("x", "a", '{"b":1}'),
        ToolCallPart("x", "a", '{"b": 1.0}'),
        ToolCallPart("x", "a {}", "b"),
        ToolCallPart("x", "a", "{} b"),
        ToolResultPart("x", "a", number=1),
        ToolResultPart("x", "a", failed=True, number=1),
        ToolResultPart("x", "a"),
    ]
)
TALKS = st.lists(
    st.builds(
        lambda role, parts: Message(role, tuple(parts)),
        st.sampled_from([Role.USER, Role.ASSISTANT, Role.TOOL]),
        st.lists(PARTS, max_size=2, unique_by=type),
    ),
    min_size=1,
    max_size=3,
)


@given(TALKS, TALKS)
def test_histories_with_calls_are_told_apart(one: list[Message], other: list[Message]) -> None:
    """What is recognised has called and answered the same, in the same messages; beside a call words do not count."""

    def meant(messages: list[Message]) -> list[object]:
        return [
            (
                message.role,
                "" if message.calls else message.text,
                [(call.name, value_of(call.arguments)) for call in message.calls],
                message.answers and (message.answers.number, message.answers.failed),
            )
            for message in messages
        ]

    def value_of(arguments: str) -> object:
        try:
            return json.loads(arguments)
        except ValueError:
            return arguments

    asked = replace(ASKED, messages=tuple(one))
    following = replace(ASKED, messages=(*other, *turns("", ANSWER, "and?")[1:]))
    assert (is_recognised(asked, following) == ["strict"]) == (meant(one) == meant(other))


@pytest.mark.parametrize("tag", ["<think>", "<details ", '<details type="reasoning">', " "])
def test_a_history_full_of_opening_tags_is_read_in_one_pass(tag: str) -> None:
    """Anybody can send one; read from each tag anew, it would take minutes."""
    began = time.monotonic()
    assert after(NAMED, "kimi", said(tag * 100_000)).strict
    assert time.monotonic() - began < 5.0
