"""Clients that send their whole history with every question: each conversation of theirs is one of Kimi's.

The emulator answers with a digest of what its conversation holds, so an answer tells in which context it was given.
"""

import os
import re
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.client import AccountTokens, ChatView, EmulatorControl
from emulator.echo import context_digest
from tests.e2e.conftest import NewGuest, running
from tests.e2e.support import Door, Gateway, Guest, Talk, at_once, entered, until

pytestmark = pytest.mark.e2e

ECHO: dict[str, object] = {"echo_context": True}
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
HEADERS = ("X-Conversation-Id", "X-OpenWebUI-Chat-Id", "x-claude-code-session-id", "session-id")
SPACED = "One  line.\n\n\nAnother\tline."
RESPACED = "One line. Another line."
TTL = 1.0
"""Seconds for which an idle conversation is kept, where that is the point."""


def talk_at(door: Door, *, stream: bool = False, **asks: object) -> Talk:
    """Begin a conversation in which every answer tells its context."""
    door.guest.plan(ECHO, repeat=True)
    return Talk(door.client, stream, asks)


def goes_on(talk: Talk, text: str) -> None:
    """Say something, and see that the answer was given where the client's conversation had got to."""
    context = [*talk.texts, text]
    assert talk.say(text) == context_digest(context)


def is_merged(guest: Guest, talk: Talk, text: str) -> str:
    """Say something, and see that the whole history went into a new conversation; give the text that was sent."""
    known, before = len(guest.chats()), talk.texts
    answer = talk.say(text)
    sent = guest.asked_texts()[-1]
    assert answer == context_digest([sent])
    places = [sent.index(one) for one in [*before, text]]
    assert places == sorted(places)
    assert len(guest.chats()) == known + 1
    return sent


def ten_turns(talk: Talk) -> list[str]:
    """Talk for ten turns, each in the context of all those before; give what the user said."""
    said = [f"Turn {number}." for number in range(1, 11)]
    for text in said:
        goes_on(talk, text)
    return said


def spoken(chat: ChatView) -> list[str]:
    """What a conversation at Kimi's holds of both sides."""
    return [message["text"] for message in chat["messages"] if message["role"] != "system"]


@pytest.fixture(scope="module")
def forgotten(kimi: EmulatorControl, issued: list[AccountTokens]) -> Iterator[tuple[Guest, Talk]]:
    """Leave a conversation alone for longer than it is kept; its deletion takes a while, in which other tests run."""
    issued.append(kimi.account("forgetful"))
    guest = Guest(kimi, issued[-1])
    guest.plan(ECHO, repeat=True)
    with running(kimi.base_url, CONVERSATION_TTL=str(TTL)) as gateway, gateway.openai(guest.refresh_token) as client:
        talk = Talk(client)
        goes_on(talk, "One")
        goes_on(talk, "Two")
        assert len(guest.chats()) == 1
        time.sleep(TTL + 0.3)
        yield guest, talk


def test_an_idle_conversation_is_forgotten(forgotten: tuple[Guest, Talk]) -> None:
    """After CONVERSATION_TTL of idleness the history is merged into a new conversation."""
    guest, talk = forgotten
    is_merged(guest, talk.up_to(4), "Three")


@BOTH_WAYS
def test_ten_turns_are_one_conversation(native: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """A client's ten turns are ten short questions in one conversation."""
    talk = talk_at(native, stream=stream)
    said = ten_turns(talk)
    assert native.guest.asked_texts() == said
    (chat,) = native.guest.chats()
    assert (spoken(chat), chat["deleted"]) == (talk.texts, False)


@BOTH_WAYS
def test_each_turn_hangs_on_the_last_answer(native_connect: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Every question names the chat and the answer before it, and nothing has to be looked up for that."""
    ten_turns(talk_at(native_connect, stream=stream))
    (chat,) = native_connect.guest.chats()
    answers = [message["id"] for message in chat["messages"] if message["role"] == "assistant"]
    requests: list[Any] = [entry["request"] for entry in native_connect.guest.completions()]
    links = [(request.get("chat_id"), request["message"].get("parent_id")) for request in requests]
    assert links == [(None, None), *((chat["id"], answer) for answer in answers[:-1])]
    assert native_connect.guest.calls("ListMessages") == []


@BOTH_WAYS
def test_an_edit_is_merged(native: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """A question of old that is asked in other words opens a second conversation; the first is as it was."""
    talk = talk_at(native, stream=stream)
    ten_turns(talk)
    (before,) = native.guest.chats()
    edited = talk.up_to(8)
    sent = is_merged(native.guest, edited, "Turn five in other words.")
    assert [text for text in talk.texts[8:] if text in sent.split("\n")] == []
    first, second = native.guest.chats()
    assert first == before
    assert spoken(second) == [sent, edited.texts[-1]]


def test_both_sides_of_an_edit_go_on(native: Door) -> None:
    """After an edit either conversation goes on natively, each in its own context."""
    talk = talk_at(native)
    for text in ("One", "Two", "Three"):
        goes_on(talk, text)
    edited = talk.up_to(4)
    sent = is_merged(native.guest, edited, "Three, edited")
    context = [sent, edited.texts[-1], "Four, after the edit"]
    assert edited.say("Four, after the edit") == context_digest(context)
    goes_on(talk, "Four, without it")
    assert native.guest.asked_texts()[-2:] == ["Four, after the edit", "Four, without it"]
    assert [len(spoken(chat)) for chat in native.guest.chats()] == [8, 4]


def test_an_answer_is_asked_for_again(native: Door) -> None:
    """A regenerated answer comes from a second conversation; the client goes on from whichever it chose."""
    talk = talk_at(native)
    for text in ("One", "Two"):
        goes_on(talk, text)
    again = talk.up_to(2)
    sent = is_merged(native.guest, again, "Two")
    assert again.say("Three") == context_digest([sent, again.texts[3], "Three"])
    goes_on(talk, "Three")
    assert len(native.guest.chats()) == 2


def test_the_first_answer_is_asked_for_again(native: Door) -> None:
    """The same first question twice is two conversations, for nothing says that the client means the same one."""
    talk_at(native).say("One")
    talk_at(native).say("One")
    assert native.guest.asked_texts() == ["One", "One"]
    assert len(native.guest.chats()) == 2


TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
OTHER_TERMS: dict[str, tuple[list[tuple[str, str]], dict[str, object]]] = {
    "another-system-text": ([("system", "Be verbose."), ("user", "One"), ("assistant", "Said.")], {}),
    "no-system-text": ([("user", "One"), ("assistant", "Said.")], {}),
    "a-system-text-more": (
        [("system", "Be brief."), ("user", "One"), ("assistant", "Said."), ("system", "Be kind.")],
        {"tools": [TOOL]},
    ),
    "a-tool": ([("system", "Be brief."), ("user", "One"), ("assistant", "Said.")], {"tools": [TOOL]}),
    "another-model": ([("system", "Be brief."), ("user", "One"), ("assistant", "Said.")], {"model": "kimi-k1"}),
    "another-answer": ([("system", "Be brief."), ("user", "One"), ("assistant", "Said!")], {}),
    "another-question": ([("system", "Be brief."), ("user", "Two"), ("assistant", "Said.")], {}),
}


@pytest.mark.parametrize("name", OTHER_TERMS)
def test_what_is_no_continuation_is_merged(native: Door, name: str) -> None:
    """A history that is not the one that Kimi holds, or other terms for it, begins a new conversation."""
    native.guest.plan({"text": "Said."}, {"text": "Said again."})
    opening = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One"}]
    assert native.whole(messages=opening).status == 200
    history, fields = OTHER_TERMS[name]
    turns = [*history, ("user", "Last")]
    assert native.whole(messages=[{"role": role, "content": text} for role, text in turns], **fields).status == 200
    sent = native.guest.asked_texts()[1]
    assert [text for _, text in turns if text not in sent] == []
    assert [len(spoken(chat)) for chat in native.guest.chats()] == [2, 2]


def test_the_same_terms_are_a_continuation(native: Door) -> None:
    """The same system text and the same tools, whatever the order of a tool's keys, go on natively."""
    native.guest.plan({"text": "Said."}, {"text": "Said again."})
    opening = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One"}]
    assert native.whole(messages=opening, tools=[TOOL]).status == 200
    messages = [*opening, {"role": "assistant", "content": "Said."}, {"role": "user", "content": "Two"}]
    assert native.whole(messages=messages, tools=[dict(reversed(TOOL.items()))]).status == 200
    assert native.guest.asked_texts()[1].startswith("Two\n\n[To call a tool, ")
    assert len(native.guest.chats()) == 1


def context_of(guest: Guest, answer: str) -> list[str]:
    """What was said in the conversation at Kimi's that holds an answer, up to and without it."""
    for chat in guest.chats():
        by_id = {message["id"]: message for message in chat["messages"]}
        step = next((message for message in chat["messages"] if message["text"] == answer), None)
        if step is not None:
            path = []
            while (step := by_id.get(step["parent_id"])) is not None:
                path.append(step)
            return [message["text"] for message in reversed(path) if message["role"] != "system"]
    raise AssertionError(f"no conversation holds {answer!r}")


_WORD = re.compile(r"\bsaid-[0-9a-f]{8}\b|\b[0-9a-f]{12}\b")


def new_words() -> str:
    """Something to say that nobody has said before."""
    return f"said-{secrets.token_hex(4)}"


def saw(guest: Guest, answer: str, history: Sequence[str]) -> bool:
    """Whether an answer was given in sight of exactly this history, whether it was merged at first or not."""
    context = context_of(guest, answer)
    return answer == context_digest(context) and [word for text in context for word in _WORD.findall(text)] == [
        *history
    ]


@BOTH_WAYS
def test_two_branches_at_once_never_mix(native: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Of two questions that follow the same answer one goes on natively, the other in a conversation of its own."""
    trunk = talk_at(native, stream=stream)
    for _ in range(2):
        trunk.say(new_words())
    branches = [trunk.up_to(4) for _ in range(2)]
    for _ in range(3):
        at_once(*(lambda branch=branch: branch.say(new_words()) for branch in branches))
    for branch in branches:
        texts = branch.texts
        assert all(saw(native.guest, texts[place], texts[:place]) for place in range(1, len(texts), 2))
    assert sorted(len(spoken(chat)) for chat in native.guest.chats()) == [6, 10]
    assert [len(_WORD.findall(text)) for text in native.guest.asked_texts()].count(5) == 1  # one was merged, once


@pytest.mark.parametrize("protocol", ["connect", "rest"])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.lists(st.tuples(st.integers(0, 99), st.booleans(), st.booleans()), min_size=1, max_size=3),
        min_size=1,
        max_size=7,
    )
)
def test_any_tree_is_answered_in_context(
    request: pytest.FixtureRequest, new_guest: NewGuest, protocol: str, steps: list[list[tuple[int, bool, bool]]]
) -> None:
    """However edits, branches and regenerations follow each other, also at once, each answer saw its own history."""
    guest = new_guest()
    guest.plan(ECHO, repeat=True)
    with entered(request.getfixturevalue(f"native_{protocol}_gateway"), guest, guest.refresh_token) as door:
        tree = [Talk(door.client)]

        def branch(place: int, again: bool, stream: bool) -> Talk:  # noqa: FBT001 # of a step
            """Go on after any answer of the tree, or ask for that answer again."""
            node = tree[place % len(tree)]
            again = again and bool(node.history)
            talk = node.up_to(len(node.history) - 2 * again)
            talk.stream = stream
            talk.say(node.texts[-2] if again else new_words())
            return talk

        for step in steps:
            tree += at_once(*(lambda one=one: branch(*one) for one in step))
    for talk in tree[1:]:
        assert saw(guest, talk.texts[-1], talk.texts[:-1])


def respaced(door: Door, first: dict[str, Any], second: dict[str, Any], answer: str = RESPACED) -> list[str]:
    """Talk for two turns, in the second of which the client gives an answer back in other words; what Kimi was sent."""
    door.guest.plan({"text": SPACED}, {"text": "Yes."})
    question: Any = {"role": "user", "content": "One"}
    messages: list[Any] = [question, {"role": "assistant", "content": answer}, {"role": "user", "content": "Two"}]
    door.client.chat.completions.create(model="kimi", messages=[question], **first)
    door.client.chat.completions.create(model="kimi", messages=messages, **second)
    return door.guest.asked_texts()


def named(hint: str, name: str) -> dict[str, Any]:
    """Arguments by which a client names its conversation."""
    return {"prompt_cache_key": name} if hint == "prompt_cache_key" else {"extra_headers": {hint: name}}


@pytest.mark.parametrize("hint", [*HEADERS, "prompt_cache_key"])
def test_a_client_that_names_its_conversation_may_respace_answers(native: Door, hint: str) -> None:
    """With a name for the conversation an answer that the client has laid out anew is still Kimi's answer."""
    session = named(hint, "conversation-1")
    assert respaced(native, session, session) == ["One", "Two"]
    assert len(native.guest.chats()) == 1


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [
        ({}, {}, RESPACED),
        (named(HEADERS[0], "a"), named(HEADERS[0], "b"), RESPACED),
        (named(HEADERS[0], "a"), {}, RESPACED),
        (named(HEADERS[0], "a"), named(HEADERS[0], "a"), "One line. Another word."),
        (named("prompt_cache_key", "a"), named("prompt_cache_key", "a"), "One line."),
    ],
    ids=["no-name", "another-name", "name-forgotten", "another-word", "a-line-less"],
)
def test_a_name_alone_continues_nothing(
    native: Door, first: dict[str, Any], second: dict[str, Any], answer: str
) -> None:
    """Where the history or the name does not agree, the history is merged into a new conversation."""
    sent = respaced(native, first, second, answer)
    assert "One" in sent[1]
    assert answer in sent[1]
    assert len(native.guest.chats()) == 2


def test_a_new_name_does_not_disturb_an_exact_history(native: Door) -> None:
    """A client whose name for the conversation changes, but not its history, goes on natively."""
    assert respaced(native, named(HEADERS[0], "a"), named(HEADERS[0], "b"), SPACED) == ["One", "Two"]


def test_thinking_that_a_client_sends_back_is_not_compared(native: Door) -> None:
    """Clients that put the thinking before the answer they send back go on natively all the same."""
    assert respaced(native, {}, {}, f"<think>Well.</think>\n\n{SPACED}\n") == ["One", "Two"]


def cut(door: Door, talk: Talk, text: str) -> str:
    """Have an answer cut in its middle; give what the client got of it."""
    door.guest.plan({"text": "Never to be finished. " * 5, "faults": {"cut_after": 12}})
    with door.streamed(messages=[*talk.history, {"role": "user", "content": text}], stream=talk.stream) as answer:
        assert answer.response.status == (200 if talk.stream else 502)
        pieces = list(answer.pieces())
    assert "upstream_truncated" in pieces[-1].line
    door.guest.plan(ECHO, repeat=True)
    return "".join(piece.content for piece in pieces[:-1])


@pytest.mark.parametrize("turn", [1, 3])
@BOTH_WAYS
def test_a_cut_answer_is_not_continued_from(native: Door, turn: int, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Its conversation is deleted, and what the client goes on with is merged into a new one."""
    talk = talk_at(native, stream=stream)
    for number in range(1, turn):
        goes_on(talk, f"Turn {number}.")
    said = cut(native, talk, "The one that is cut.")
    assert bool(said) is stream
    assert native.guest.all_deleted()
    talk.history += [
        {"role": "user", "content": "The one that is cut."},
        {"role": "assistant", "content": said or "What the client made of it."},
    ]
    is_merged(native.guest, talk, "Go on.")
    assert [chat["deleted"] for chat in native.guest.chats()] == [True, False]


def test_an_answer_whose_client_left_is_not_continued_from(native: Door) -> None:
    """A client that hangs up leaves no conversation behind, and may go on with what it has."""
    native.guest.plan({"text": "word " * 40, "piece": 5, "delay": 0.05})
    with native.streamed() as stream:
        said = ""
        for piece in stream.pieces():
            said += piece.content
            if said.count("word") == 3:
                break
        stream.hang_up()
    assert native.guest.all_deleted()
    talk = talk_at(native)
    talk.history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}]
    is_merged(native.guest, talk, "Go on.")


def test_a_conversation_that_its_owner_deleted(native: Door) -> None:
    """Where the conversation is gone by the person's own hand, the history is merged and the client sees no error."""
    talk = talk_at(native)
    for text in ("One", "Two"):
        goes_on(talk, text)
    native.guest.delete_by_hand(native.guest.chats()[0]["id"])
    sent = is_merged(native.guest, talk, "Three")
    assert talk.say("Four") == context_digest([sent, talk.texts[5], "Four"])
    assert [chat["deleted"] for chat in native.guest.chats()] == [True, False]


def test_chats_of_the_persons_own_are_left_alone(native_connect: Door, kimi: EmulatorControl) -> None:
    """However the same words stand in it, a chat made by hand is neither continued nor deleted."""
    own = kimi.open_chat(native_connect.guest.name)
    question, answer = spoken(own)
    talk = talk_at(native_connect)
    talk.history = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    is_merged(native_connect.guest, talk, "Go on.")
    assert native_connect.guest.chats()[0] == own


def test_without_continuity_each_answer_has_its_own_conversation(door: Door) -> None:
    """CONTINUITY=off: every turn is merged into a conversation that is deleted at its end."""
    talk = talk_at(door)
    talk.say("One")
    for text in ("Two", "Three"):
        is_merged(door.guest, talk, text)
    assert door.guest.all_deleted(3)


@contextmanager
def resting(pid: int) -> Iterator[None]:
    """Stop a process for a while, so that another one has to do the work."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_workers_share_conversations(native: Door) -> None:
    """Turn by turn another worker answers, in the same conversation and by the same access token."""
    native.guest.plan(ECHO, repeat=True)
    workers = native.gateway.server.worker_pids
    assert len(workers) == 2
    history: list[Any] = []
    for number in range(4):
        with resting(workers[number % 2]), native.gateway.openai(native.token) as client:
            talk = Talk(client, history=history)
            goes_on(talk, f"Turn {number}.")
            history = talk.history
    assert len(native.guest.chats()) == 1
    assert len([entry for entry in native.guest.calls() if "efresh" in entry["path"]]) == 1


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "killed"])
def test_conversations_survive_a_restart(
    kimi: EmulatorControl,
    new_guest: NewGuest,
    tmp_path: Path,
    crash: bool,  # noqa: FBT001 # a parameter
) -> None:
    """With a DATABASE_PATH a client goes on natively after a restart, and its token is not exchanged again."""
    guest = new_guest(reuse_window=0)
    guest.plan(ECHO, repeat=True)
    history: list[Any] = []
    for turn in ("One", "Two"):
        with running(kimi.base_url, DATABASE_PATH=str(tmp_path / "state.sqlite3")) as gateway:
            with entered(gateway, guest, guest.refresh_token) as door:
                talk = Talk(door.client, history=history)
                goes_on(talk, turn)
                history = talk.history
            if crash:
                gateway.server.kill_all()
    assert guest.asked_texts() == ["One", "Two"]
    assert [chat["deleted"] for chat in guest.chats()] == [False]
    assert len(guest.calls("/RefreshToken")) == 1


def test_a_conversation_stays_on_its_account(native_connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """Of several accounts the one that holds the conversation serves it; a new one goes to who was idle longest."""
    guests = [new_guest() for _ in range(3)]
    for guest in guests:
        guest.plan(ECHO, repeat=True)
    tokens = ",".join(guest.refresh_token for guest in guests)
    with native_connect_gateway.openai(tokens) as client:
        talks = [Talk(client) for _ in range(3)]
        for turn in range(3):
            for talk in talks:
                goes_on(talk, f"Turn {turn} of {id(talk)}")
    assert [[len(spoken(chat)) for chat in guest.chats()] for guest in guests] == [[6], [6], [6]]


def test_a_conversation_moves_when_its_account_cannot_serve(
    native_connect_gateway: Gateway, new_guest: NewGuest
) -> None:
    """Where the account that holds the conversation refuses, another one is given the whole history."""
    ann, bob = new_guest(), new_guest()
    ann.plan(ECHO, {"faults": {"overload_trailer": True}})
    bob.plan(ECHO, repeat=True)
    with native_connect_gateway.openai(f"{ann.refresh_token},{bob.refresh_token}") as client:
        talk = Talk(client)
        goes_on(talk, "One")
        assert len(ann.chats()) == 1
        sent = is_merged(bob, talk, "Two")
        assert talk.say("Three") == context_digest([sent, talk.texts[3], "Three"])
    assert bob.asked_texts()[1:] == ["Three"]


def test_a_forgotten_conversation_is_deleted(forgotten: tuple[Guest, Talk]) -> None:
    """What has been idle for CONVERSATION_TTL is deleted soon after, by itself; what is in use is not."""
    guest, _ = forgotten
    assert until(lambda: guest.chats()[0]["deleted"], timeout=20)
