"""Which call each result of a history answers."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from app.chat.numbering import numbered
from app.chat.request import FilePart, Message, Role, Stored, TextPart, ToolCallPart, ToolResultPart

HI = Message.of(Role.USER, "hi")


def calling(*calls: str) -> Message:
    """An answer that makes these calls, each written as its id, a blank and the tool's name."""
    parts = [call.partition(" ") for call in calls]
    return Message(Role.ASSISTANT, tuple(ToolCallPart(call_id, name, "{}") for call_id, _, name in parts))


def result(call_id: str | None = None, name: str | None = None, text: str = "") -> Message:
    """A result as the client tells it."""
    return Message(Role.TOOL, (ToolResultPart(call_id, name), TextPart(text)))


def told(*messages: Message) -> list[tuple[int | None, str | None]]:
    """The numbers and names of the results, in their order."""
    answers = [message.answers for message in numbered(messages) if message.role is Role.TOOL]
    return [(each.number, each.name) for each in answers if each is not None]


def test_the_calls_of_a_history_are_counted() -> None:
    """Over all of it, from 1."""
    first, second = calling("a Read", "b Bash"), calling("c Read")
    assert told(HI, first, result("a"), result("b"), second, result("c")) == [(1, "Read"), (2, "Bash"), (3, "Read")]


def test_results_side_by_side_stand_in_the_order_of_their_calls() -> None:
    """Clients give them as the tools have ended."""
    calls = calling("a Read", "b Bash", "c Walk")
    messages = (HI, calls, result("c", text="3"), result("a", text="1"), result("b", text="2"), HI)
    assert [message.text for message in numbered(messages)] == ["hi", "", "1", "2", "3", "hi"]


def test_results_that_something_stands_between_keep_their_places() -> None:
    """A person may have spoken in between."""
    messages = (calling("a Read", "b Bash"), result("b", text="2"), HI, result("a", text="1"))
    assert [message.text for message in numbered(messages)] == ["", "2", "hi", "1"]


def test_an_id_that_comes_again_is_that_of_the_last_call() -> None:
    """Some clients begin to count anew in each turn."""
    assert told(calling("0 Read"), result("0"), calling("0 Bash"), result("0")) == [(1, "Read"), (2, "Bash")]


def test_a_result_without_an_id_answers_the_first_open_call_of_its_name() -> None:
    """As in the vendors' older and other ways."""
    calls = calling("a Read", "b Bash", "c Read")
    assert told(calls, result(name="Read"), result(name="Read"), result(name="Bash")) == [
        *((1, "Read"), (2, "Bash"), (3, "Read")),
    ]


def test_a_result_without_id_and_name_answers_the_first_open_call() -> None:
    """Whatever its tool is."""
    assert told(calling("a Read", "b Bash"), result("a"), result()) == [(1, "Read"), (2, "Bash")]
    assert told(calling("a Read"), Message.of(Role.TOOL, "x")) == [(1, "Read")]


def test_a_call_without_an_id_is_answered_by_its_name() -> None:
    """Nothing answers an empty id."""
    assert told(calling(" Read", " Bash"), result(name="Bash"), result("", "Read")) == [(1, "Read"), (2, "Bash")]


def test_a_name_is_that_of_the_call() -> None:
    """Whatever the client says it is."""
    assert told(calling("a Read"), result("a", "Bash")) == [(1, "Read")]


def test_a_result_whose_call_is_not_there_stands_behind_the_others() -> None:
    """With what the client says of it."""
    calls = calling("a Read", "b Bash")
    assert told(calls, result("x", "Fly"), result("b"), result("y"), result("a")) == [
        *((1, "Read"), (2, "Bash"), (None, "Fly"), (None, None)),
    ]
    assert told(HI, result(), calling("a Read")) == [(None, None)]


def test_a_result_cannot_answer_a_call_that_comes_later() -> None:
    """It had not been made."""
    assert told(result("a", "Read"), calling("a Read"), result("a")) == [(None, "Read"), (1, "Read")]


def test_a_result_that_comes_twice_answers_its_call_twice() -> None:
    """By its id; without one there is no open call left."""
    calls = calling("a Read")
    assert told(calls, result("a"), result("a"), result(name="Read")) == [(1, "Read"), (1, "Read"), (None, "Read")]


def test_all_else_of_a_result_stays() -> None:
    """What it says and shows, and that the tool has failed; what tells of the call stands first."""
    file = FilePart(Stored("file-1"), "place")
    message = Message(Role.TOOL, (TextPart("a"), ToolResultPart("a", failed=True), file, TextPart("b")))
    (_, done) = numbered((calling("a Read"), message))
    assert done.parts == (ToolResultPart("a", "Read", failed=True, number=1), TextPart("a"), file, TextPart("b"))


MESSAGES = st.lists(
    st.just(HI)
    | st.builds(calling, st.sampled_from(["a Read", "b Bash", " Read", "a Bash"]))
    | st.builds(calling, st.sampled_from(["a Read", "b Read"]), st.sampled_from(["c Bash", "a Walk"]))
    | st.builds(result, st.sampled_from(["a", "b", "c", "", None]), st.sampled_from(["Read", "Bash", "Fly", None])),
    max_size=8,
).map(tuple)


@given(MESSAGES)
def test_numbering_twice_is_numbering_once(messages: tuple[Message, ...]) -> None:
    """And nothing but results is touched."""
    once = numbered(messages)
    assert numbered(once) == once
    assert len(once) == len(messages)
    assert [message.role for message in once] == [message.role for message in messages]
    others = [message for message in messages if message.role is not Role.TOOL]
    assert [message for message in once if message.role is not Role.TOOL] == others


@given(MESSAGES)
def test_a_number_is_that_of_a_call_before_it(messages: tuple[Message, ...]) -> None:
    """With its name."""
    names: list[str] = []
    for message in numbered(messages):
        names += [call.name for call in message.calls]
        if message.answers is not None and message.answers.number is not None:
            assert message.answers.name == names[message.answers.number - 1]


@given(st.permutations(["a", "b", "c", "d"]), st.integers())
def test_in_whatever_order_results_come_the_history_is_the_same(ids: list[str], seed: int) -> None:
    """Where ids tell whose they are."""
    results = [result(call_id, text=call_id) for call_id in ids]
    calls = calling(*(f"{call_id} Read" for call_id in "abcd"))
    shuffled = [*results]
    random.Random(seed).shuffle(shuffled)  # noqa: S311 # it orders test data
    assert numbered((HI, calls, *results)) == numbered((HI, calls, *shuffled))
