"""What chat clients ask by themselves (titles, tags, follow-ups): quick, cheap, and beside the real conversation."""

from typing import Any

import pytest

from emulator.echo import context_digest
from tests.e2e.conftest import NewGuest
from tests.e2e.support import Door, Gateway, Guest, Talk, at_once, text_of, until

pytestmark = pytest.mark.e2e

CHAT = {"X-OpenWebUI-Chat-Id": "0b7c2c1e-5d6f-4f55-9a35-0d4f6f0a1b2c"}
HISTORY = "### Chat History:\n<chat_history>\nUSER: One\nASSISTANT: Well.\n</chat_history>"
OPEN_WEBUI = {
    "title": "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n" + HISTORY,
    "tags": "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history.\n" + HISTORY,
    "follow-ups": "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might ask.\n" + HISTORY,
    "queries": "### Task:\nAnalyze the chat history to determine the necessity of generating search queries.\n"
    + HISTORY,
}
TASKS = pytest.mark.parametrize("task", OPEN_WEBUI)
IN_PLACE = "Please generate a four to five word title summarizing our conversation without any lead-in or quotes."
"""NextChat's own prompt for a title, which stands below the conversation itself."""


def asked_of(guest: Guest, task: str) -> dict[str, Any]:
    """The request that carried a text to Kimi."""
    found: list[Any] = [entry["request"] for entry in guest.completions()]
    (request,) = [request for request in found if task in text_of(request)]
    assert isinstance(request, dict)
    return request


def is_quiet(request: dict[str, Any]) -> bool:
    """Whether a request asks for neither thinking nor a search nor a special model."""
    if "options" in request:
        searches = "TOOL_TYPE_SEARCH" in str(request["tools"])
        return request["options"]["thinking"] is False and not searches
    plain = {"use_search": False, "use_research": False, "use_math": False, "model": "kimi", "kimiplus_id": "kimi"}
    return {name: request[name] for name in plain} == plain


def begun(door: Door, **asks: object) -> Talk:
    """Talk for one turn, with answers that tell their context."""
    door.guest.plan({"echo_context": True}, repeat=True)
    talk = Talk(door.client, asks={"extra_headers": CHAT, **asks})
    assert talk.say("One") == context_digest(["One"])
    return talk


@TASKS
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_background_call_stands_apart(native: Door, task: str, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """It is answered in a conversation that is deleted at once, and the real one goes on as if it had not been."""
    talk = begun(native)
    answer = Talk(native.client, stream, {"extra_headers": CHAT}).say(OPEN_WEBUI[task])
    assert answer == context_digest([native.guest.asked_texts()[1]])
    assert until(lambda: [chat["deleted"] for chat in native.guest.chats()] == [False, True])
    assert talk.say("Two") == context_digest(["One", talk.texts[1], "Two"])
    assert native.guest.asked_texts()[2] == "Two"
    assert [chat["deleted"] for chat in native.guest.chats()] == [False, True]


@TASKS
@pytest.mark.parametrize("model", ["kimi-search", "kimi-k1", "kimi-thinking-search", "kimi-research"])
def test_a_background_call_is_quiet(native: Door, task: str, model: str) -> None:
    """Whatever model the conversation has, its title needs no search and no thinking."""
    fields = {"use_search": True, "reasoning_effort": "high"}
    messages = [{"role": "user", "content": OPEN_WEBUI[task]}]
    assert native.whole(model=model, messages=messages, **fields).status == 200
    assert is_quiet(asked_of(native.guest, "### Task:"))


def test_the_real_conversation_is_not_quiet(native: Door) -> None:
    """Only the background call is: the conversation has what its client asks for."""
    begun(native, model="kimi-k1-search")
    assert not is_quiet(asked_of(native.guest, "One"))


def test_a_call_below_the_conversation_does_not_take_it(native: Door) -> None:
    """A client that puts its prompt below the whole history goes on with the real conversation all the same."""
    talk = begun(native)
    title = talk.up_to(2)
    answer = title.say(IN_PLACE)
    sent = native.guest.asked_texts()[1]
    assert answer == context_digest([sent])
    assert talk.texts[1] in sent  # it cannot be answered without the conversation, which is merged for it
    assert until(lambda: [chat["deleted"] for chat in native.guest.chats()] == [False, True])
    assert talk.say("Two") == context_digest(["One", talk.texts[1], "Two"])
    assert len(native.guest.chats()) == 2


def test_background_calls_at_once_with_the_next_turn(native: Door) -> None:
    """A client asks for its title, tags and follow-ups at once while the person goes on: nothing mixes."""
    talk = begun(native)
    context = [*talk.texts, "Two"]
    tasks = [Talk(native.client, asks={"extra_headers": CHAT}) for _ in OPEN_WEBUI]
    answers = at_once(
        lambda: talk.say("Two"),
        *(lambda one=one, text=text: one.say(text) for one, text in zip(tasks, OPEN_WEBUI.values(), strict=True)),
    )
    assert answers[0] == context_digest(context)
    assert until(lambda: len(native.guest.left()) == 1)
    assert len(native.guest.chats()) == 1 + len(OPEN_WEBUI)


def test_a_background_call_does_not_touch_a_named_conversation(native: Door) -> None:
    """With conversation_id, too, a title is asked for elsewhere, and the client is not told where."""
    native.guest.plan({"text": "Well."}, {"text": "A title"}, {"text": "Well again."})
    kept = native.whole(conversation_id="none").json()["id"]
    (before,) = native.guest.chats()
    title = native.whole(conversation_id=kept, messages=[{"role": "user", "content": OPEN_WEBUI["title"]}])
    assert title.status == 200
    assert until(lambda: [chat["deleted"] for chat in native.guest.chats()] == [False, True])
    first, second = native.guest.chats()
    assert first == before
    assert title.json()["id"] != second["id"]


def test_a_persons_own_words_are_no_background_call(native: Door) -> None:
    """A question with its sources, as Open WebUI puts it, is part of the conversation."""
    talk = begun(native)
    rag = "### Task:\nRespond to the user query using the provided context.\n\n<context>A loaf.</context>\n\nTwo"
    assert talk.say(rag) == context_digest(["One", talk.texts[1], rag])
    assert len(native.guest.left()) == 1


def test_without_continuity_it_is_as_any_other(connect_gateway: Gateway, new_guest: NewGuest) -> None:
    """CONTINUITY=off changes nothing of it: quiet, and deleted."""
    guest = new_guest()
    messages = [{"role": "user", "content": OPEN_WEBUI["title"]}]
    assert connect_gateway.chat(guest.access_token, model="kimi-thinking-search", messages=messages).status == 200
    assert is_quiet(asked_of(guest, "### Task:"))
    assert guest.all_deleted()
