"""Prompts that are too long for one message reach Kimi as a file, and the answer says so (issue 4)."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from emulator.client import EmulatorControl, FileView
from tests.e2e.attachments import asking_about, image, picture
from tests.e2e.conftest import QUICK
from tests.e2e.support import Door, Guest, RawStream, until

pytestmark = pytest.mark.e2e

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

LIMIT = 200_000
"""MAX_PROMPT_CHARS, where it is not set."""

KIMIS_LIMIT = 9000
"""Characters that Kimi is ordered to take, in the tests in which it is Kimi that refuses the prompt."""

SYSTEM, REMARK, QUESTION = "Be brief & <b>exact</b>.", 'Said "so".\n\nAgain.', "Who did it?"
NAME, TYPE = "prompt.txt", "text/plain"

Messages = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def prompt_reader(kimi: EmulatorControl) -> Iterator[None]:
    """Have Kimi read files at once, unless a test orders otherwise, and leave it as it was."""
    kimi.uploads(polls=0)
    yield
    kimi.uploads()


def story(length: int, letter: str = "x") -> str:
    """A text of so many characters, with a beginning and an end of its own."""
    return f"Once. {letter * (length - 11)} End."


def history(text: str) -> Messages:
    """A conversation that a text is in the middle of."""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": text},
        {"role": "assistant", "content": REMARK},
        {"role": "user", "content": QUESTION},
    ]


def asked(door: Door, *, stream: bool, text: str = QUICK, **fields: object) -> tuple[str | None, str]:
    """Ask, and check that this very answer came; give the header that tells of the file, and the answer's id."""
    if not stream:
        reply = door.whole(**fields)
        assert reply.status == 200, reply.body
        body = reply.json()
        assert body["choices"][0]["message"]["content"] == text
        return reply.headers.get("x-prompt"), str(body["id"])
    with door.streamed(**fields) as answer:
        return answer.response.getheader("x-prompt"), streamed(answer, text)


def streamed(answer: RawStream, text: str) -> str:
    """Check that a stream is whole and has this text; give the answer's id."""
    assert answer.response.status == 200
    pieces = list(answer.pieces())
    assert "".join(piece.content for piece in pieces) == text
    assert pieces[-1].line == "data: [DONE]"
    return str(next(piece for piece in pieces if piece.line.startswith("data: {")).data["id"])


def prompt_file(guest: Guest) -> FileView:
    """The only file of a guest, which must be a prompt."""
    (view,) = guest.files()
    assert (view["name"], view["content_type"], view["kind"]) == (NAME, TYPE, "file")
    return view


def spoken(guest: Guest) -> list[list[str]]:
    """What stands in each chat that a question has reached."""
    chats = [[message["text"] for message in chat["messages"] if message["role"] != "system"] for chat in guest.chats()]
    return [texts for texts in chats if texts]


@BOTH_WAYS
def test_a_prompt_over_the_limit(door: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """The file holds what would have been the message, word for word; the message repeats the question."""
    short, long = story(20), story(LIMIT)
    assert asked(door, messages=history(short), stream=stream)[0] is None
    assert asked(door, messages=history(long), stream=stream)[0] == "file"
    as_message, instead = door.guest.asked_texts()
    whole = as_message.replace(short, long)
    view = prompt_file(door.guest)
    assert view["text"] == whole
    assert (view["size"], view["sha256"]) == (len(whole), hashlib.sha256(whole.encode()).hexdigest())
    assert door.guest.shown() == [[], [view["id"]]]
    assert len(instead) < 1000
    assert NAME in instead
    assert QUESTION in instead
    assert long[:50] not in instead
    assert door.guest.all_deleted(2)


@BOTH_WAYS
def test_the_limit_is_exact(door: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """A message of MAX_PROMPT_CHARS is sent as it is, one character more is not."""
    for length, told in ((LIMIT, None), (LIMIT + 1, "file")):
        messages = [{"role": "user", "content": story(length)}]
        assert asked(door, messages=messages, stream=stream)[0] == told
    assert door.guest.asked_texts()[0] == story(LIMIT)
    assert prompt_file(door.guest)["text"] == story(LIMIT + 1)


@BOTH_WAYS
def test_a_prompt_that_kimi_refuses(door: Door, kimi: EmulatorControl, stream: bool) -> None:  # noqa: FBT001
    """It is sent once more, as a file, in letters of any script; no chat is left behind."""
    kimi.uploads(polls=0, max_prompt=KIMIS_LIMIT)
    long = story(KIMIS_LIMIT, "漢")
    assert asked(door, messages=history(long), stream=stream)[0] == "file"
    refused, instead = door.guest.asked_texts()
    assert prompt_file(door.guest)["text"] == refused
    assert long in refused
    assert len(instead) < 1000
    assert spoken(door.guest) == [[instead, QUICK]]
    assert until(lambda: door.guest.left() == [])


@BOTH_WAYS
def test_one_chat_is_kept_to_be_continued(native: Door, kimi: EmulatorControl, stream: bool) -> None:  # noqa: FBT001
    """Of a refusal and the answer after it one chat is left, and the conversation goes on natively in it."""
    kimi.uploads(polls=0, max_prompt=KIMIS_LIMIT)
    native.guest.plan({"text": "He did."}, {"text": "Because."})
    messages = history(story(KIMIS_LIMIT))
    assert asked(native, messages=messages, stream=stream, text="He did.")[0] == "file"
    messages += [{"role": "assistant", "content": "He did."}, {"role": "user", "content": "Why?"}]
    assert asked(native, messages=messages, stream=stream, text="Because.")[0] is None
    assert native.guest.asked_texts()[-1] == "Why?"
    assert until(lambda: len(native.guest.left()) == 1)
    (chat,) = native.guest.left()
    assert [message["text"] for message in chat["messages"][-2:]] == ["Why?", "Because."]
    assert len(native.guest.files()) == 1


@BOTH_WAYS
def test_a_long_turn_of_a_conversation_that_goes_on(native: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """What is new is moved, not the history that Kimi has; the conversation stays the same, also after it."""
    long = story(LIMIT + 1)
    native.guest.plan({"text": "A1"}, {"text": "A2"}, {"text": "A3"})
    messages: Messages = []
    told = []
    for question, answer in (("One", "A1"), (long, "A2"), ("Three", "A3")):
        messages += [{"role": "user", "content": question}]
        told.append(asked(native, messages=messages, stream=stream, text=answer)[0])
        messages += [{"role": "assistant", "content": answer}]
    assert told == [None, "file", None]
    assert prompt_file(native.guest)["text"] == long
    assert [text for text in native.guest.asked_texts() if len(text) < 100] == ["One", "Three"]
    (chat,) = native.guest.chats()
    assert not chat["deleted"]


@BOTH_WAYS
def test_continued_by_its_id(native: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """A conversation that the client keeps goes on by its id, after a prompt in a file and with one."""
    native.guest.plan({"text": "A1"}, {"text": "A2"}, {"text": "A3"})
    told, kept = asked(native, messages=history(story(LIMIT)), conversation_id="none", stream=stream, text="A1")
    assert told == "file"
    short = [{"role": "user", "content": "Why?"}]
    assert asked(native, messages=short, conversation_id=kept, stream=stream, text="A2") == (None, kept)
    long = [{"role": "user", "content": story(LIMIT + 1)}]
    assert asked(native, messages=long, conversation_id=kept, stream=stream, text="A3") == ("file", kept)
    assert native.guest.files()[-1]["text"] == story(LIMIT + 1)
    assert "Why?" in native.guest.asked_texts()
    (chat,) = native.guest.chats()
    assert (chat["id"], chat["deleted"]) == (kept, False)


@BOTH_WAYS
def test_a_conversation_that_is_full(native: Door, kimi: EmulatorControl, stream: bool) -> None:  # noqa: FBT001
    """Where Kimi refuses a turn of a conversation, the whole history goes to a new one as a file."""
    native.guest.plan({"text": "A1"}, {"text": "A2"}, repeat=False)
    assert asked(native, messages=[{"role": "user", "content": "One"}], stream=stream, text="A1")[0] is None
    kimi.uploads(polls=0, max_prompt=KIMIS_LIMIT)
    long = story(KIMIS_LIMIT + 1)
    messages = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "A1"},
        {"role": "user", "content": long},
    ]
    assert asked(native, messages=messages, stream=stream, text="A2")[0] == "file"
    text = prompt_file(native.guest)["text"]
    assert text is not None
    assert [text.find(part) >= 0 for part in ("One", "A1", long)] == [True] * 3
    assert until(lambda: len(native.guest.left()) == 1)


def test_the_same_prompt_is_uploaded_once(door: Door) -> None:
    """Asked for again, as by "regenerate", the prompt is there already."""
    for _ in range(3):
        assert asked(door, messages=history(story(LIMIT)), stream=False)[0] == "file"
    assert prompt_file(door.guest)["used"] == 3
    assert len(door.guest.uploads()) == 1


@BOTH_WAYS
def test_a_long_prompt_with_a_picture(door: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """The question refers to both files, the prompt first."""
    sample = picture()
    messages = [*history(story(LIMIT)), {"role": "assistant", "content": "Hm."}, *asking_about(image(sample))]
    assert asked(door, messages=messages, stream=stream)[0] == "file"
    views = {view["id"]: view for view in door.guest.files()}
    (ids,) = door.guest.shown()
    assert [views[file_id]["name"] for file_id in ids] == [NAME, sample.nameless]
    assert views[ids[1]]["sha256"] == sample.sha256


def test_a_question_that_is_long_itself(door: Door) -> None:
    """It is not repeated beside the file."""
    question = story(LIMIT + 1)
    assert asked(door, messages=[{"role": "user", "content": question}], stream=False)[0] == "file"
    assert len(door.guest.asked_text()) < 1000


@BOTH_WAYS
def test_a_prompt_that_kimi_refuses_in_any_form(
    door: Door,
    kimi: EmulatorControl,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """Where Kimi takes not even the instruction, the client is told that the prompt is too long; no chat is left."""
    kimi.uploads(polls=0, max_prompt=50)
    reply = door.whole(messages=history(story(KIMIS_LIMIT)), stream=stream)
    assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
    assert len(door.guest.completions()) == 2
    assert until(lambda: door.guest.left() == [])


def test_a_short_prompt_that_kimi_refuses(door: Door, kimi: EmulatorControl) -> None:
    """What is not long cannot be too long: nothing is moved, and nothing tried twice."""
    kimi.uploads(polls=0, max_prompt=50)
    reply = door.whole(messages=history(story(1000)))
    assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
    assert (len(door.guest.completions()), door.guest.files()) == (1, [])


@BOTH_WAYS
def test_a_prompt_file_that_kimi_cannot_read(
    door: Door,
    kimi: EmulatorControl,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """The client sees an error that is no fault of an attachment of its own, and no chat is left."""
    kimi.uploads(polls=0, fail="no more memory")
    reply = door.whole(messages=history(story(LIMIT)), stream=stream)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "attachment_refused", None)
    assert "no more memory" in reply.error["message"]
    assert door.guest.completions() == []
