"""Conversations on Kimi's side: deleted after the answer, unless the client wants to go on with them."""

from contextlib import ExitStack
from typing import Any

import pytest
from openai import APIError, NotFoundError
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from emulator.client import EmulatorControl
from tests.e2e.conftest import NewGuest
from tests.e2e.support import Door, Gateway, Guest, text_of, until

pytestmark = pytest.mark.e2e

FIRST: list[ChatCompletionMessageParam] = [{"role": "user", "content": "My name is Ada."}]
HISTORY: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Be brief."},
    *FIRST,
    {"role": "assistant", "content": "Hello Ada."},
    {"role": "user", "content": "What is my name?"},
]


def say(door: Door, messages: list[ChatCompletionMessageParam], conversation: str | None = None) -> ChatCompletion:
    """Ask over the SDK, in a conversation if one is given."""
    extra = {} if conversation is None else {"conversation_id": conversation}
    return door.client.chat.completions.create(model="kimi", messages=messages, extra_body=extra)


def test_a_conversation_is_deleted_after_its_answer(door: Door) -> None:
    """What served a whole answer is gone from Kimi's side soon after."""
    say(door, FIRST)
    assert door.guest.all_deleted()


def test_a_conversation_is_deleted_after_its_stream(door: Door) -> None:
    """What served a streamed answer is gone from Kimi's side soon after."""
    with door.streamed() as stream:
        assert [piece.line for piece in stream.pieces()][-1] == "data: [DONE]"
    assert door.guest.all_deleted()


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_is_deleted_after_an_error(door: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """An answer that breaks off leaves nothing behind either."""
    door.guest.plan({"text": "Never to be finished", "faults": {"cut_after": 9}})
    with pytest.raises(APIError):
        list(door.client.chat.completions.create(model="kimi", messages=FIRST, stream=stream))
    assert door.guest.all_deleted()


@pytest.mark.parametrize("stays", [True, False], ids=["to-the-end", "hung-up"])
def test_a_conversation_is_deleted_although_its_token_dies(
    hasty_gateway: Gateway,
    guest: Guest,
    stays: bool,  # noqa: FBT001 # a parameter
) -> None:
    """An access token that Kimi refuses by the time of the clean-up is renewed for it."""
    guest.plan({"text": "0123456789", "piece": 1, "delay": 0.1})
    with hasty_gateway.chat_stream(guest.refresh_token) as stream:
        assert stream.response.status == 200
        guest.change(expire_access=True)
        if stays:
            list(stream.pieces())
        else:
            stream.hang_up()
    assert guest.all_deleted()


def test_a_conversation_outlives_its_token(hasty_gateway: Gateway, new_guest: NewGuest) -> None:
    """An answer that takes longer than its access token lives is deleted with the next one."""
    guest = new_guest(access_seconds=1, reuse_window=0)
    guest.plan({"text": "0123456789", "piece": 1, "delay": 0.15})
    assert hasty_gateway.chat(guest.refresh_token).status == 200
    assert guest.all_deleted()


def test_deleting_does_not_delay_the_last_byte(connect: Door) -> None:
    """The answer ends for the client before its conversation is deleted."""
    say(connect, FIRST)
    ended = connect.guest.completions()[0]
    assert connect.guest.all_deleted()
    (deletion,) = connect.guest.calls("DeleteChat")
    assert deletion["at"] >= ended["at"] + ended["seconds"]


@pytest.mark.parametrize("stream", [False, True])
def test_none_begins_a_conversation_that_is_kept(door: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """With conversation_id "none" the answer's id is the id of Kimi's chat, and the chat stays."""
    ids = set()
    if stream:
        with door.streamed(conversation_id="none") as answer:
            ids = {piece.data["id"] for piece in answer.pieces() if piece.line.startswith("data: {")}
    else:
        ids = {say(door, FIRST, "none").id}
    (kept,) = door.guest.chats()
    assert ids == {kept["id"]}
    say(door, FIRST)  # by the time that this one is deleted, the other would be
    assert _wait_deleted(door, [False, True])


def test_the_id_of_a_conversation_that_is_not_kept_is_not_told(door: Door) -> None:
    """By default the answer's id is nobody's handle."""
    identity = say(door, FIRST).id
    assert identity.startswith("chatcmpl-")
    assert identity not in {chat["id"] for chat in door.guest.chats()}


def test_a_conversation_is_continued_natively(door: Door) -> None:
    """With its id the second turn goes into the same chat, and only the new user text is sent."""
    kept = say(door, FIRST, "none").id
    again = say(door, HISTORY, kept)
    assert again.id == kept
    (chat,) = door.guest.chats()
    turns = [(message["role"], message["text"]) for message in chat["messages"] if message["role"] != "system"]
    assert turns == [
        ("user", "My name is Ada."),
        ("assistant", "Quick as a flash."),
        ("user", "What is my name?"),
        ("assistant", "Quick as a flash."),
    ]
    request = door.guest.completions()[1]["request"]
    assert isinstance(request, dict)
    assert text_of(request) == "What is my name?"


def test_a_continued_turn_hangs_on_the_last_answer(connect: Door) -> None:
    """The parent of the second question is the first answer, looked up once."""
    kept = say(connect, FIRST, "none").id
    say(connect, HISTORY, kept)
    (chat,) = connect.guest.chats()
    messages = [message for message in chat["messages"] if message["role"] != "system"]
    assert messages[2]["parent_id"] == messages[1]["id"]
    assert len(connect.guest.calls("ListMessages")) == 1


def test_a_continued_conversation_is_kept(door: Door) -> None:
    """Neither a good turn nor a broken one deletes what the client goes on with."""
    kept = say(door, FIRST, "none").id
    say(door, HISTORY, kept)
    door.guest.plan({"text": "Never to be finished", "faults": {"cut_after": 9}})
    with pytest.raises(APIError):
        say(door, HISTORY, kept)
    door.guest.plan({"text": "Good again."}, {"text": "And another."})
    assert say(door, HISTORY, kept).choices[0].message.content == "Good again."
    say(door, FIRST)
    assert _wait_deleted(door, [False, True])


def test_a_chat_begun_in_the_browser_is_continued(connect: Door, kimi: EmulatorControl) -> None:
    """A conversation of the person's own is continued and never deleted."""
    own = kimi.open_chat(connect.guest.name)["id"]
    assert say(connect, FIRST, own).id == own
    say(connect, FIRST)
    assert _wait_deleted(connect, [False, True])


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_conversation(door: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """An id that Kimi does not know is a 404, and no new conversation."""
    fields: dict[str, Any] = {"model": "kimi", "messages": FIRST, "extra_body": {"conversation_id": "no-such-chat"}}
    with pytest.raises(NotFoundError) as error:
        door.client.chat.completions.create(stream=stream, **fields)
    assert error.value.code == "conversation_not_found"
    assert door.guest.chats() == []


def test_a_conversation_of_somebody_else(door: Door, new_guest: NewGuest, clients: ExitStack) -> None:
    """Another account's conversation is as unknown as any."""
    kept = say(door, FIRST, "none").id
    stranger = new_guest()
    token = stranger.access_token if door.token == door.guest.access_token else stranger.legacy_token
    client = clients.enter_context(door.gateway.openai(token))
    with pytest.raises(NotFoundError):
        client.chat.completions.create(model="kimi", messages=FIRST, extra_body={"conversation_id": kept})
    (chat,) = door.guest.chats()
    assert len([message for message in chat["messages"] if message["role"] == "user"]) == 1


def test_a_conversation_finds_its_account(connect_gateway: Gateway, new_guest: NewGuest, clients: ExitStack) -> None:
    """Among several credentials a conversation is continued on the one that began it."""
    ann, bob = new_guest(), new_guest()
    client = clients.enter_context(connect_gateway.openai(bob.access_token))
    kept = client.chat.completions.create(model="kimi", messages=FIRST, extra_body={"conversation_id": "none"}).id
    both = clients.enter_context(connect_gateway.openai(f"{ann.access_token},{bob.access_token}"))
    for _ in range(2):
        again = both.chat.completions.create(model="kimi", messages=HISTORY, extra_body={"conversation_id": kept})
        assert again.id == kept
    assert len(bob.chats()[0]["messages"]) == 7
    assert ann.chats() == []


def test_a_kept_conversation_that_never_answered_is_deleted(door: Door) -> None:
    """Where no word came the client never learns the id, so nothing stays."""
    door.guest.plan({"faults": {"empty": True, "cut_after": 6}})
    with pytest.raises(APIError):
        say(door, FIRST, "none")
    assert door.guest.all_deleted()


def _wait_deleted(door: Door, expected: list[bool]) -> bool:
    return until(lambda: [chat["deleted"] for chat in door.guest.chats()] == expected)
