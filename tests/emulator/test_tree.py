"""A chat is a tree: where a new message may hang, and what the site then knows of the conversation."""

import hashlib
import json

import pytest

from emulator.client import ControlError, EmulatorControl
from tests.emulator.raw import Answered, Raw, answer_text

pytestmark = pytest.mark.e2e


def digest(*texts: str) -> str:
    """The digest as the README describes it."""
    return hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:12]


def refused(answered: Answered) -> object:
    """Give the code of a refusal."""
    ((_, payload),) = answered.frames
    return payload["error"]["code"]


def test_a_turn_hangs_on_any_message_of_its_chat(control: EmulatorControl, raw: Raw) -> None:
    """Also on one that is no tip: the chat branches, and the older branch stays."""
    chat = control.open_chat("ann")
    root, question, reply = (message["id"] for message in chat["messages"])
    control.plan({"text": "a"}, repeat=True)
    for parent in (reply, reply, question, root):
        assert answer_text(raw.ask(chat_id=chat["id"], parent_id=parent).frames) == "a"
    (shown,) = control.chats()
    users, assistants = shown["messages"][3::2], shown["messages"][4::2]
    assert [message["parent_id"] for message in users] == [reply, reply, question, root]
    assert [message["parent_id"] for message in assistants] == [message["id"] for message in users]


def test_a_parent_must_be_of_the_same_chat(control: EmulatorControl, raw: Raw) -> None:
    """An unknown one and one of another chat are refused and leave no trace, as is one without a chat."""
    chat, other = control.open_chat("ann"), control.open_chat("ann")
    elsewhere = other["messages"][-1]["id"]
    for parent in ("unknown", elsewhere, other["id"]):
        assert refused(raw.ask(chat_id=chat["id"], parent_id=parent)) == "invalid_argument"
    assert refused(raw.ask(parent_id=elsewhere)) == "invalid_argument"
    assert control.chats() == [chat, other]


def test_the_echo_is_of_one_branch(control: EmulatorControl, raw: Raw) -> None:
    """From the root to the new message, answers included, the system message and other branches not."""
    control.plan({"echo_context": True}, repeat=True)
    first = answer_text(raw.ask("one").frames)
    assert first == digest("one")
    (chat,) = control.chats()
    tip = chat["messages"][-1]["id"]
    second = answer_text(raw.ask("two", chat_id=chat["id"], parent_id=tip).frames)
    assert second == digest("one", first, "two")
    other = answer_text(raw.ask("zwei", chat_id=chat["id"], parent_id=tip).frames)
    assert other == digest("one", first, "zwei")
    longer = answer_text(raw.ask("drei", chat_id=chat["id"]).frames)
    assert longer == digest("one", first, "zwei", other, "drei")
    assert answer_text(raw.ask("anew", chat_id=chat["id"], parent_id=chat["id"]).frames) == digest("anew")


def test_the_echo_of_an_edit(control: EmulatorControl, raw: Raw) -> None:
    """The new words stand in the place of the old ones."""
    chat = control.open_chat("ann")
    control.plan({"echo_context": True})
    asked = chat["messages"][1]["id"]
    assert answer_text(raw.ask("better", chat_id=chat["id"], id=asked).frames) == digest("better")


def test_the_echo_of_the_legacy_site(control: EmulatorControl, raw: Raw) -> None:
    """All messages in their order: it has no branches."""
    path = f"/api/chat/{raw.legacy('POST', '/api/chat', name='n').json['id']}/completion/stream"
    control.plan({"echo_context": True}, repeat=True)
    answers = []
    for words in ("one", "zwei 👋"):
        answered = raw.legacy("POST", path, messages=[{"role": "user", "content": words}])
        answers.append("".join(event["text"] for event in answered.events if event["event"] == "cmpl"))
    assert answers == [digest("one"), digest("one", answers[0], "zwei 👋")]


def test_an_echo_keeps_the_faults_of_its_answer(control: EmulatorControl, raw: Raw) -> None:
    """It is a text like any other."""
    control.plan({"echo_context": True, "piece": 5, "faults": {"error_trailer": {"after_text": 5}}})
    events = raw.ask("one").frames
    assert answer_text(events) == digest("one")[:5]
    assert json.dumps(events[-1][1]).startswith('{"error"')


@pytest.mark.parametrize("field", ["text", "frames", "lines", "segments"])
def test_an_echo_has_no_other_words(control: EmulatorControl, field: str) -> None:
    """Which of the two was meant would be a guess."""
    words: object = "a" if field == "text" else []
    with pytest.raises(ControlError, match=f"echo_context and {field}"):
        control.plan({"echo_context": True, field: words})
