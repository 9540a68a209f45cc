"""One account's attempt: what is mended and sent again, what never is, and what a turn that was not sent leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.accounts.credentials import Credential, claims_of, parse_credentials
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.chat.events import (
    Event,
    Failed,
    Finished,
    Opened,
    PromptMoved,
    Served,
    TextDelta,
    ToolCallEnd,
    ToolCallStart,
)
from app.chat.request import (
    ChatRequest,
    Continuation,
    FilePart,
    JsonFormat,
    Message,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    ToolUse,
)
from app.conversations.ledger import Entry
from app.errors import (
    AccountRestricted,
    AttachmentRefused,
    ClientGone,
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    PlanRequired,
    RateLimitExceeded,
    RequestTooLarge,
    StructuredOutputFailed,
    TokenExpired,
    ToolCallUnreadable,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.gateway.attempt import MOVABLE
from app.gateway.chain import Terms
from app.gateway.custody import SLACK, holder_of
from app.kimi.client import Account
from app.kimi.turn import MAX_REPEATED, PROMPT_FILE, Turn
from app.toolcalls.marks import Marks
from tests.fakes import FakeDownloads, FakeExchange, FakeKimi, FakeStorage, Step, jwt
from tests.gateway.houses import (
    ANN,
    BOB,
    MODELS,
    PNG,
    TTL,
    House,
    answering,
    error_of,
    failing,
    inline,
    picture,
    refreshable,
    remote,
    said,
    showing,
    text_of,
    user,
)

TOO_LONG = ContextLengthExceeded("no")
LONG = "a" * (MOVABLE + 1)
SHORT = "a" * MOVABLE
TURN = ChatRequest("kimi", (user("hi"),))
NEXT = replace(TURN, messages=(*TURN.messages, said("hello"), user("and?")))


def asking(*messages: Message | str) -> ChatRequest:
    """A request of these messages; a text is one of the person's."""
    return ChatRequest("kimi", tuple(user(text) if isinstance(text, str) else text for text in messages))


def prompts(house: House) -> list[str]:
    """The prompts that were moved to files, in the order of their uploads."""
    return [kept.data.decode() for kept in house.storage.kept.values() if kept.name == PROMPT_FILE]


def files_of(house: House, turn: Turn) -> list[str]:
    """The names of the files that went with a turn."""
    return [house.storage.kept[file_id].name for file_id in turn.files]


def moves(events: list[Event]) -> int:
    """How often the client was told that its prompt was moved."""
    return events.count(PromptMoved())


def begun(house: House, account: Credential = ANN) -> House:
    """A house with an idle conversation, chat-1, that NEXT goes on with."""
    house.answer(account, request=TURN)
    return house


def is_idle(house: House, request: ChatRequest = NEXT, account: Credential = ANN) -> bool:
    """Whether a request could go on with chat-1 now: it is there, and can be claimed."""
    found = house.continuity.find(request, "kimi", [holder_of(account, house.upstream.protocol(account))])
    if found is None:
        return False
    assert found.idle.continuation == Continuation("chat-1", "message-1")
    claimed = house.continuity.claim(found)
    house.continuity.give_back(found)
    return claimed


def entries(house: House, account: Credential = ANN) -> list[Entry]:
    """What is written down for an account."""
    return house.ledger.entries(account.account)


def waiting(house: House) -> Entry:
    """The entry of an idle conversation as it should be."""
    return Entry("chat-1", "connect", None, due=house.clock() + TTL + SLACK)


# --- Too long by its size ----------------------------------------------------------------------------------


def test_a_prompt_over_the_limit_is_moved_at_once() -> None:
    """Kimi is sent a file with all of it, and a short text."""
    kimi = FakeKimi(answering())
    house = House(kimi, max_prompt=9000)
    text = "b" * 9001
    events = house.answer(request=asking(text))
    assert [text_of(events), moves(events), prompts(house)] == ["hello", 1, [text]]
    (turn,) = kimi.turns
    assert turn.files == ("kimi-1",)
    assert PROMPT_FILE in turn.text
    assert len(turn.text) < 1000


def test_a_prompt_at_the_limit_is_sent_as_it_is() -> None:
    """Nothing is uploaded for it."""
    kimi = FakeKimi(answering())
    house = House(kimi, max_prompt=9000)
    events = house.answer(request=asking("b" * 9000))
    assert [moves(events), kimi.turns, house.storage.uploads] == [0, [Turn("b" * 9000)], 0]


def test_all_messages_count_for_the_limit() -> None:
    """It is one text that is sent."""
    kimi = FakeKimi(answering())
    house = House(kimi, max_prompt=90)
    house.answer(request=asking("b" * 40, said("c" * 40), "d" * 20))
    assert [len(prompts(house)), [text in prompts(house)[0] for text in ("b" * 40, "c" * 40, "d" * 20)]] == [
        1,
        [True] * 3,
    ]


def test_only_what_is_new_counts_in_a_conversation_that_goes_on() -> None:
    """The rest is there already."""
    kimi = FakeKimi(answering(), answering("more"))
    house = House(kimi, max_prompt=7)
    house.answer(request=TURN)
    events = house.answer(request=NEXT)
    assert [moves(events), kimi.turns[1], kimi.continued[1]] == [0, Turn("and?"), Continuation("chat-1", "message-1")]


def test_what_is_new_is_moved_alone_in_a_conversation_that_goes_on() -> None:
    """The conversation stays."""
    kimi = FakeKimi(answering(), answering("more"))
    house = begun(House(kimi, max_prompt=90))
    events = house.answer(request=replace(NEXT, messages=(*NEXT.messages[:2], user("b" * 91))))
    assert [moves(events), prompts(house), kimi.continued[1]] == [1, ["b" * 91], Continuation("chat-1", "message-1")]
    assert house.ledger_of() == ["chat-1"]


def test_text_that_stands_in_the_prompt_for_a_file_counts_for_the_limit() -> None:
    """Kimi refuses the type; the texts of several such files are more than it takes in one message."""
    kimi = FakeKimi(answering())
    storage = FakeStorage(refuse=lambda file: AttachmentRefused("no") if file.name.endswith(".py") else None)
    house = House(kimi, storage=storage, max_prompt=9000)
    codes = [inline(f"{number}".encode() * 4000, name=f"{number}.py") for number in range(3)]
    events = house.answer(request=asking(showing("Explain", *codes)))
    assert [moves(events), len(prompts(house))] == [1, 1]
    assert all(str(number) * 4000 in prompts(house)[0] for number in range(3))
    assert len(kimi.turns[0].text) < 9000


def test_attachments_go_behind_the_prompt_that_was_moved() -> None:
    """The instruction names the prompt; the others are named in it."""
    kimi = FakeKimi(answering())
    house = House(kimi, max_prompt=9000)
    house.answer(request=asking(showing("b" * 9001, inline(b"one", name="one.txt"), inline(PNG, name="two.png"))))
    assert files_of(house, kimi.turns[0]) == [PROMPT_FILE, "one.txt", "two.png"]
    assert "[file: one.txt]\n[image: two.png]" in prompts(house)[0]


@pytest.mark.parametrize(("length", "repeated"), [(MAX_REPEATED, True), (MAX_REPEATED + 1, False)])
def test_a_short_question_stands_beside_the_file(length: int, *, repeated: bool) -> None:
    """Models look for their task in the message itself."""
    kimi = FakeKimi(answering())
    House(kimi, max_prompt=9000).answer(request=asking("b" * 9001, said("c"), "q" * length))
    assert ("q" * length in kimi.turns[0].text) is repeated


def test_the_client_is_told_before_anything_is_sent() -> None:
    """It stands in the headers, which may leave before the first word."""
    kimi = FakeKimi(answering())
    house = House(kimi, max_prompt=90)
    answer = house.gateway.answer(asking("b" * 91), (ANN,), Cancellation())
    assert next(answer) == [PromptMoved()]
    assert [house.storage.uploads, kimi.turns] == [0, []]
    assert text_of([event for events in answer for event in events]) == "hello"


def test_the_count_of_tokens_is_that_of_the_prompt() -> None:
    """Wherever it stands."""
    counts = []
    for limit in (90, 9000):
        events = House(FakeKimi(answering()), max_prompt=limit).answer(request=asking("b c " * 91))
        counts.append(events[-2])
    assert counts[0] == counts[1]


# --- Too long by Kimi's word -------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [[], [Opened("chat-0")]], ids=["at once", "opened"])
def test_a_prompt_that_kimi_refuses_as_too_long_is_moved(before: list[Event]) -> None:
    """The client sees nothing of the refusal, and Kimi keeps nothing of it."""
    kimi = FakeKimi(failing(TOO_LONG, *before), answering())
    house = House(kimi)
    events = house.answer(request=asking(LONG))
    assert [text_of(events), moves(events), prompts(house)] == ["hello", 1, [LONG]]
    assert kimi.turns[0] == Turn(LONG)
    assert files_of(house, kimi.turns[1]) == [PROMPT_FILE]
    assert [event for event in events if isinstance(event, Opened)] == [Opened("chat-1")]
    assert [kimi.deleted, house.ledger_of(), house.streams()] == [
        ["chat-0"] if before else [],
        ["chat-1"],
        0,
    ]


def test_a_refusal_that_is_raised_is_mended_too() -> None:
    """Raised or told: it is the same refusal."""
    house = House(FakeKimi(FakeExchange(TOO_LONG), answering()))
    assert text_of(house.answer(request=asking(LONG))) == "hello"


@pytest.mark.parametrize(
    ("first", "request_"),
    [
        ([failing(TOO_LONG)], asking(LONG)),
        ([answering("c" * 91), failing(TOO_LONG)], asking("hi", said("c" * 91), "and?")),
        ([answering("c" * 91), failing(ConversationNotFound("no"))], asking("hi", said("c" * 91), "and?")),
        ([answering("c" * 91), failing(UpstreamBusy("no"))], asking("hi", said("c" * 91), "and?")),
    ],
    ids=["too long", "full", "gone", "another account"],
)
def test_the_client_is_told_before_the_turn_is_sent_again(first: list[FakeExchange], request_: ChatRequest) -> None:
    """The headers may leave before the first word of it."""
    told: list[Event] = []
    known: list[bool] = []
    again = FakeExchange(
        lambda _: known.append(PromptMoved() in told), [Opened("chat-2")], [TextDelta("hello")], [Finished()]
    )
    house = House(FakeKimi(*first, again), max_prompt=90 if len(first) > 1 else 200_000)
    if len(first) > 1:
        house.answer(request=TURN)
    for events in house.gateway.answer(request_, (ANN, BOB), Cancellation()):
        told += events
    assert [text_of(told), known] == ["hello", [True]]


@pytest.mark.parametrize("text", ["hi", SHORT])
def test_a_short_prompt_is_never_moved(text: str) -> None:
    """Its length cannot be what Kimi refuses."""
    kimi = FakeKimi(failing(TOO_LONG), answering())
    house = House(kimi)
    events = house.answer(request=asking(text))
    assert isinstance(error_of(events), ContextLengthExceeded)
    assert [moves(events), len(kimi.turns), house.storage.uploads] == [0, 1, 0]


def test_a_prompt_is_never_moved_twice() -> None:
    """What is refused as a file is too long."""
    kimi = FakeKimi(failing(TOO_LONG), failing(TOO_LONG, Opened("chat-0")), answering())
    house = House(kimi)
    events = house.answer(request=asking(LONG))
    assert isinstance(error_of(events), ContextLengthExceeded)
    assert [moves(events), len(kimi.turns), house.storage.uploads] == [1, 2, 1]
    assert [kimi.deleted, house.ledger_of(), house.streams()] == [["chat-0"], [], 0]


def test_a_prompt_that_was_moved_at_once_is_not_sent_again() -> None:
    """There is nothing left to mend."""
    kimi = FakeKimi(failing(TOO_LONG), answering())
    events = House(kimi, max_prompt=90).answer(request=asking(LONG))
    assert isinstance(error_of(events), ContextLengthExceeded)
    assert len(kimi.turns) == 1


def test_nothing_is_sent_again_after_the_first_word() -> None:
    """The client has part of an answer."""
    kimi = FakeKimi(failing(TOO_LONG, Opened("chat-1"), TextDelta("a")), answering())
    events = House(kimi).answer(request=asking(LONG))
    assert [isinstance(error_of(events), ContextLengthExceeded), len(kimi.turns)] == [True, 1]


def test_the_attachments_of_a_prompt_that_is_moved_are_uploaded_once() -> None:
    """They went with it the first time."""
    kimi = FakeKimi(failing(TOO_LONG), answering())
    house = House(kimi)
    house.answer(request=asking(showing(LONG, picture())))
    assert kimi.turns[0].files == ("kimi-1",)
    assert kimi.turns[1].files == ("kimi-2", "kimi-1")
    assert house.storage.uploads == 2


def test_a_token_may_end_while_a_prompt_is_moved() -> None:
    """Each is mended, and the prompt is uploaded once."""
    kimi = FakeKimi(failing(TOO_LONG), failing(TokenExpired("no")), answering())
    house = House(kimi)
    events = house.answer(refreshable(), request=asking(LONG))
    assert [text_of(events), moves(events), house.storage.uploads] == ["hello", 1, 1]
    assert [account.token for account in kimi.accounts] == ["access-1", "access-1", "access-2"]


# --- A conversation that is full ---------------------------------------------------------------------------


@pytest.mark.parametrize("before", [[], [Opened("chat-1")]])
def test_a_full_conversation_is_replaced_by_a_new_one(before: list[Event]) -> None:
    """With its history in a file, however short the new turn is; the full one is deleted."""
    kimi = FakeKimi(answering(), failing(TOO_LONG, *before), answering("more", "chat-2"))
    house = begun(House(kimi))
    events = house.answer(request=NEXT)
    assert [text_of(events), moves(events)] == ["more", 1]
    assert kimi.continued == [None, Continuation("chat-1", "message-1"), None]
    (prompt,) = prompts(house)
    assert all(text in prompt for text in ("hi", "hello", "and?"))
    assert prompt.endswith("and?")
    assert "and?" in kimi.turns[2].text
    assert [kimi.deleted, house.ledger_of(), house.streams()] == [["chat-1"], ["chat-2"], 0]


def test_the_new_conversation_goes_on_natively() -> None:
    """The client sees no difference."""
    kimi = FakeKimi(answering(), failing(TOO_LONG), answering("more", "chat-2"), answering("well"))
    house = begun(House(kimi))
    house.answer(request=NEXT)
    house.answer(request=replace(NEXT, messages=(*NEXT.messages, said("more"), user("so?"))))
    assert [kimi.continued[3], kimi.turns[3]] == [Continuation("chat-2", "message-1"), Turn("so?")]


def test_a_new_conversation_that_is_full_too_is_the_end() -> None:
    """Both are deleted."""
    kimi = FakeKimi(answering(), failing(TOO_LONG), failing(TOO_LONG, Opened("chat-2")), answering())
    house = begun(House(kimi))
    assert isinstance(error_of(house.answer(request=NEXT)), ContextLengthExceeded)
    assert [len(kimi.turns), sorted(kimi.deleted), house.ledger_of()] == [3, ["chat-1", "chat-2"], []]


def test_the_attachments_of_earlier_turns_go_with_the_new_conversation() -> None:
    """They are with Kimi already."""
    kimi = FakeKimi(answering(), failing(TOO_LONG), answering("more", "chat-2"))
    house = House(kimi)
    first = asking(showing("hi", picture(1)))
    house.answer(request=first)
    house.answer(request=asking(*first.messages, said("hello"), showing("and?", picture(2))))
    assert [turn.files for turn in kimi.turns] == [("kimi-1",), ("kimi-2",), ("kimi-3", "kimi-1", "kimi-2")]
    assert [house.storage.kept["kimi-3"].name, house.storage.uploads] == [PROMPT_FILE, 3]


def test_a_conversation_that_the_client_names_is_never_replaced() -> None:
    """The new turn alone is moved, and the conversation stays."""
    kimi = FakeKimi(failing(TOO_LONG), answering(chat="chat-9"))
    house = House(kimi)
    request = replace(asking("hi", said("hello"), LONG), conversation_id="chat-9")
    events = house.answer(request=request)
    assert [text_of(events), moves(events), prompts(house)] == ["hello", 1, [LONG]]
    assert kimi.continued == [Continuation("chat-9")] * 2
    assert [kimi.deletions, house.ledger_of()] == [[], []]


def test_a_full_conversation_that_the_client_names_is_the_client_s_to_leave() -> None:
    """A short turn would not be heard elsewhere."""
    kimi = FakeKimi(failing(TOO_LONG), answering())
    house = House(kimi)
    events = house.answer(request=replace(asking("b" * 9000, said("hello"), "and?"), conversation_id="chat-9"))
    assert isinstance(error_of(events), ContextLengthExceeded)
    assert [moves(events), len(kimi.turns), house.storage.uploads, kimi.deletions] == [0, 1, 0, []]


def test_a_named_conversation_s_new_turn_over_the_limit_is_moved_at_once() -> None:
    """What it has heard does not count."""
    kimi = FakeKimi(answering(), answering())
    house = House(kimi, max_prompt=90)
    for text in ("b" * 91, "and?"):
        house.answer(request=replace(asking("c" * 91, said("hello"), text), conversation_id="chat-9"))
    assert [prompts(house), kimi.turns[1]] == [["b" * 91], Turn("and?")]
    assert kimi.continued == [Continuation("chat-9")] * 2


# --- A conversation that is gone, a token that has ended ---------------------------------------------------


@pytest.mark.parametrize("error", [ConversationNotFound, InvalidRequest])
def test_a_conversation_that_is_gone_is_replaced_by_a_new_one(error: type[GatewayError]) -> None:
    """With the whole history in the message: it is not long."""
    kimi = FakeKimi(answering(), failing(error("no")), answering("more", "chat-2"))
    house = begun(House(kimi))
    events = house.answer(request=NEXT)
    assert [text_of(events), moves(events)] == ["more", 0]
    assert kimi.continued == [None, Continuation("chat-1", "message-1"), None]
    assert "hello" in kimi.turns[2].text
    assert [house.ledger_of(), house.streams()] == [["chat-2"], 0]


def test_a_new_conversation_is_sent_the_attachments_of_earlier_turns() -> None:
    """Uploaded once, all the same."""
    kimi = FakeKimi(answering(), failing(ConversationNotFound("no")), answering("more", "chat-2"))
    house = House(kimi)
    first = asking(showing("hi", picture(1)))
    house.answer(request=first)
    house.answer(request=asking(*first.messages, said("hello"), showing("and?", picture(2))))
    assert [turn.files for turn in kimi.turns] == [("kimi-1",), ("kimi-2",), ("kimi-1", "kimi-2")]
    assert house.storage.uploads == 2


def test_a_long_history_of_a_conversation_that_is_gone_is_moved() -> None:
    """It is over the limit where the new turn was not; the client is told in time."""
    kimi = FakeKimi(answering("c" * 91), failing(ConversationNotFound("no")), answering("more", "chat-2"))
    house = House(kimi, max_prompt=90)
    house.answer(request=TURN)
    events = house.answer(request=replace(NEXT, messages=(user("hi"), said("c" * 91), user("and?"))))
    assert [text_of(events), moves(events), len(prompts(house))] == ["more", 1, 1]
    assert events.index(PromptMoved()) < events.index(Opened("chat-2"))


@pytest.mark.parametrize("error", [ConversationNotFound, InvalidRequest])
def test_without_a_conversation_nothing_can_be_gone(error: type[GatewayError]) -> None:
    """It is sent once."""
    kimi = FakeKimi(failing(error("no")), answering())
    assert type(error_of(House(kimi).answer(request=asking(LONG)))) is error
    assert len(kimi.turns) == 1


@pytest.mark.parametrize("error", [PlanRequired, UpstreamUnavailable, UpstreamTimeout, UpstreamProtocolError])
def test_no_other_refusal_is_mended(error: type[GatewayError]) -> None:
    """The turn may have been heard."""
    kimi = FakeKimi(answering(), failing(error("no")), answering())
    house = begun(House(kimi))
    assert type(error_of(house.answer(request=NEXT))) is error
    assert len(kimi.turns) == 2


def test_a_turn_that_is_sent_again_with_a_new_token_uploads_nothing_again() -> None:
    """What Kimi has taken, it has."""
    kimi = FakeKimi(failing(TokenExpired("no")), answering())
    house = House(kimi)
    assert text_of(house.answer(refreshable(), request=asking(showing("hi", picture())))) == "hello"
    assert [turn.files for turn in kimi.turns] == [("kimi-1",)] * 2
    assert house.storage.uploads == 1


# --- A turn that cannot be prepared ------------------------------------------------------------------------

UNPREPARED = [
    AttachmentRefused,
    RequestTooLarge,
    RateLimitExceeded,
    UpstreamBusy,
    AccountRestricted,
    TokenExpired,
    UpstreamUnavailable,
    UpstreamTimeout,
    UpstreamProtocolError,
    ClientGone,
]


def seeing(*parts: FilePart) -> ChatRequest:
    """The next turn, with attachments."""
    return replace(NEXT, messages=(*NEXT.messages[:2], showing("and?", *(parts or (picture(place="place"),)))))


@pytest.mark.parametrize("at_reading", [False, True])
@pytest.mark.parametrize("kind", UNPREPARED)
def test_an_upload_that_fails_leaves_the_conversation_where_it_was(
    kind: type[GatewayError], *, at_reading: bool
) -> None:
    """Claimable, and in the ledger as idle as before; the turn was never sent, the account is free."""
    kimi = FakeKimi(answering(), answering("more"))
    house = begun(House(kimi))
    house.clock.advance(7)
    if at_reading:
        house.storage.unread = lambda _: kind("no")
    else:
        house.storage.refuse = lambda _: kind("no")
    events = house.answer(request=seeing())
    assert type(error_of(events)) is kind
    assert is_idle(house)
    assert entries(house) == [waiting(house)]
    assert [len(kimi.turns), kimi.deletions, house.streams()] == [1, [], 0]


def test_the_next_request_goes_on_in_it() -> None:
    """As if there had been none in between."""
    kimi = FakeKimi(answering(), answering("more"))
    house = begun(House(kimi))
    house.storage.refuse = lambda _: UpstreamUnavailable("no")
    house.answer(request=seeing())
    house.storage.refuse = lambda _: None
    assert text_of(house.answer(request=seeing())) == "more"
    assert kimi.continued == [None, Continuation("chat-1", "message-1")]
    assert house.ledger_of() == ["chat-1"]


@pytest.mark.parametrize("kind", UNPREPARED)
def test_an_upload_that_fails_before_there_is_a_conversation_leaves_nothing(kind: type[GatewayError]) -> None:
    """There is nothing to delete."""
    kimi = FakeKimi(answering())
    house = House(kimi, storage=FakeStorage(refuse=lambda _: kind("no")))
    assert type(error_of(house.answer(request=asking(showing("hi", picture()))))) is kind
    assert [entries(house), kimi.turns, kimi.deletions, house.streams()] == [[], [], [], 0]


def test_a_conversation_that_the_operator_keeps_goes_on_as_well() -> None:
    """It is in no book, and nobody deletes it."""
    kimi = FakeKimi(answering(), answering("more"))
    house = begun(House(kimi, keep=True))
    house.storage.refuse = lambda _: UpstreamUnavailable("no")
    house.answer(request=seeing())
    assert [is_idle(house), entries(house), kimi.deletions] == [True, [], []]


def test_a_prompt_that_cannot_be_moved_leaves_the_conversation_where_it_was() -> None:
    """Its file is an upload like another."""
    kimi = FakeKimi(answering(), answering("more"))
    house = begun(House(kimi, max_prompt=90))
    house.storage.refuse = lambda _: UpstreamUnavailable("no")
    events = house.answer(request=replace(NEXT, messages=(*NEXT.messages[:2], user("b" * 91))))
    assert isinstance(error_of(events), UpstreamUnavailable)
    assert [is_idle(house), entries(house), len(kimi.turns)] == [True, [waiting(house)], 1]


def test_the_history_of_a_full_conversation_that_cannot_be_moved_leaves_nothing() -> None:
    """The full one is of no use to anybody."""
    kimi = FakeKimi(answering(), failing(TOO_LONG), answering())
    house = begun(House(kimi))
    house.storage.refuse = lambda _: UpstreamUnavailable("no")
    assert isinstance(error_of(house.answer(request=NEXT)), UpstreamUnavailable)
    assert [kimi.deleted, entries(house), is_idle(house), house.streams()] == [["chat-1"], [], False, 0]


def test_a_defect_during_an_upload_leaves_nothing_behind() -> None:
    """What is no error of the house goes up, and the conversation is not left without an end."""

    def breaking(_content: Content) -> None:
        raise ZeroDivisionError

    kimi = FakeKimi(answering())
    house = begun(House(kimi))
    house.storage.refuse = breaking
    with pytest.raises(ZeroDivisionError):
        house.answer(request=seeing())
    house.settle()
    assert [entries(house), kimi.deleted, house.streams()] == [[], ["chat-1"], 0]


def test_a_token_that_kimi_does_not_take_for_an_upload_is_renewed_once() -> None:
    """A dead account is not asked again and again, nor is its file sent so."""
    house = House(FakeKimi(answering()), storage=FakeStorage(refuse=lambda _: TokenExpired("no")))
    assert isinstance(error_of(house.answer(refreshable(), request=asking(showing("hi", picture())))), TokenExpired)
    assert [len(house.refreshed), house.storage.uploads] == [2, 2]


# --- Tokens behind uploads ---------------------------------------------------------------------------------


def dated(house_clock: Callable[[], float], life: float = 900.0) -> Callable[[Credential, int], str]:
    """Access tokens with an end."""
    return lambda credential, number: jwt(
        sub=credential.claims.subject, n=number, iat=house_clock(), exp=house_clock() + life
    )


def slowly(house: House, seconds: float) -> None:
    """The next upload takes its time."""
    times = iter([seconds])

    def taking_time(_content: Content) -> None:
        house.clock.advance(next(times, 0.0))

    house.storage.refuse = taking_time


@pytest.mark.parametrize(("seconds", "refreshes"), [(1000.0, 2), (1.0, 1)])
def test_the_token_is_asked_anew_behind_an_upload(seconds: float, refreshes: int) -> None:
    """The first one may have ended meanwhile; one that is still good serves."""
    kimi = FakeKimi(answering())
    house = House(kimi)
    house.grant = dated(house.clock)
    slowly(house, seconds)
    assert text_of(house.answer(refreshable(), request=asking(showing("hi", picture())))) == "hello"
    assert len(house.refreshed) == refreshes
    (account,) = kimi.accounts
    assert claims_of(account.token)["n"] == refreshes
    assert claims_of(house.storage.kept["kimi-1"].account.token)["n"] == 1


def test_a_token_that_cannot_be_renewed_behind_an_upload_is_the_end() -> None:
    """Nothing was sent, so the conversation stays, and another account may serve."""
    kimi = FakeKimi(answering(), answering("second", "chat-2"))
    house = House(kimi)
    ann = parse_credentials(jwt(sub="ann", exp=house.clock() + 900))[0]
    begun(house, ann)
    slowly(house, 1000.0)
    assert text_of(house.answer(ann, BOB, request=seeing())) == "second"
    assert [account.token for account in kimi.accounts] == [ann.token, BOB.token]
    assert is_idle(house, NEXT, ann)
    assert [len(entries(house, ann)), house.streams(ann), house.streams(BOB)] == [1, 0, 0]


# --- A client that leaves ----------------------------------------------------------------------------------


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("at_reading", [False, True])
def test_a_client_that_leaves_during_an_upload_leaves_nothing(*, at_reading: bool, goes_on: bool) -> None:
    """No turn is sent; slot, conversation and bytes are given back."""
    client = Cancellation()
    kimi = FakeKimi(answering(), answering())
    downloads = FakeDownloads({"https://a.example/": b"a"})
    house = begun(House(kimi, downloads=downloads)) if goes_on else House(kimi, downloads=downloads)

    def leaving(_: object) -> None:
        assert house.streams() == 1
        client.cancel()

    if at_reading:
        house.storage.unread = leaving
    else:
        house.storage.refuse = leaving
    page = remote("https://a.example/")
    request = seeing(page, picture()) if goes_on else asking(showing("hi", page, picture()))
    events = house.answer(request=request, cancellation=client)
    assert isinstance(error_of(events), ClientGone)
    assert len(kimi.turns) == int(goes_on)
    assert house.streams() == 0
    assert entries(house) == ([waiting(house)] if goes_on else [])
    assert is_idle(house) is goes_on
    assert all(spool._file.closed for spool in downloads.spools)
    assert kimi.deletions == []


def test_a_client_that_leaves_as_it_is_told_of_the_move_leaves_nothing() -> None:
    """The pump drops the answer there."""
    kimi = FakeKimi(answering(), answering())
    house = begun(House(kimi, max_prompt=90))
    request = replace(NEXT, messages=(*NEXT.messages[:2], user("b" * 91)))
    answer = house.gateway.answer(request, (ANN,), Cancellation())
    assert next(answer) == [PromptMoved()]
    answer.close()  # type: ignore[attr-defined] # it is a generator
    house.settle()
    assert [len(kimi.turns), house.storage.uploads, house.streams()] == [1, 0, 0]
    assert is_idle(house)
    assert entries(house) == [waiting(house)]


# --- Other accounts ----------------------------------------------------------------------------------------


def test_another_account_is_sent_the_files_too() -> None:
    """Each holds its own."""
    kimi = FakeKimi(failing(UpstreamBusy("no")), answering("second", "chat-2"))
    house = House(kimi)
    assert text_of(house.answer(ANN, BOB, request=asking(showing("hi", picture())))) == "second"
    assert [turn.files for turn in kimi.turns] == [("kimi-1",), ("kimi-2",)]
    kept = [house.storage.kept[file_id] for file_id in ("kimi-1", "kimi-2")]
    assert [file.account for file in kept] == [Account(ANN.token), Account(BOB.token)]
    assert [file.data for file in kept] == [PNG + b"1"] * 2


@pytest.mark.parametrize("kind", [TokenExpired, AccountRestricted, RateLimitExceeded, UpstreamBusy])
def test_an_account_that_cannot_take_a_file_gives_way(kind: type[GatewayError]) -> None:
    """And is left alone as if it had refused the turn."""
    refusals = iter([kind("no")])
    kimi = FakeKimi(answering("second"), answering("third"))
    house = House(kimi, storage=FakeStorage(refuse=lambda _: next(refusals, None)))
    request = asking(showing("hi", picture()))
    assert text_of(house.answer(ANN, BOB, request=request)) == "second"
    assert text_of(house.answer(ANN, BOB)) == "third"
    assert [account.token for account in kimi.accounts] == [BOB.token, BOB.token]
    assert [house.streams(ANN), house.streams(BOB)] == [0, 0]


@pytest.mark.parametrize("kind", [AttachmentRefused, RequestTooLarge, UpstreamUnavailable, UpstreamTimeout, ClientGone])
def test_no_other_account_is_sent_a_file_that_it_cannot_help(kind: type[GatewayError]) -> None:
    """One upload, one error."""
    kimi = FakeKimi(answering())
    house = House(kimi, storage=FakeStorage(refuse=lambda _: kind("no")))
    assert type(error_of(house.answer(ANN, BOB, request=asking(showing("hi", picture()))))) is kind
    assert [house.storage.uploads, kimi.turns] == [1, []]


def test_another_account_is_sent_the_whole_history_with_its_files() -> None:
    """The conversation stays with the one that began it."""
    kimi = FakeKimi(answering(), failing(UpstreamBusy("no")), answering("second", "chat-2"))
    house = House(kimi)
    first = asking(showing("hi", picture(1)))
    house.answer(request=first)
    request = asking(*first.messages, said("hello"), showing("and?", picture(2)))
    assert text_of(house.answer(ANN, BOB, request=request)) == "second"
    owners = [[house.storage.kept[file_id].account.token for file_id in turn.files] for turn in kimi.turns]
    assert owners == [[ANN.token], [ANN.token], [BOB.token] * 2]
    assert kimi.continued == [None, Continuation("chat-1", "message-1"), None]
    assert is_idle(house, request)
    assert [house.ledger_of(ANN), house.ledger_of(BOB)] == [["chat-1"], ["chat-2"]]


def test_a_prompt_is_moved_for_another_account_as_well() -> None:
    """The client has been told once and for all: the header stands."""
    kimi = FakeKimi(failing(TOO_LONG), failing(UpstreamBusy("no")), answering("second", "chat-2"))
    house = House(kimi)
    events = house.answer(ANN, BOB, request=asking(LONG))
    assert text_of(events) == "second"
    assert moves(events) == 1
    assert files_of(house, kimi.turns[2]) == [PROMPT_FILE]


# --- The books ---------------------------------------------------------------------------------------------


def test_a_conversation_that_goes_on_is_in_use_while_its_files_are_uploaded() -> None:
    """An upload may take longer than an idle conversation lives; no other process may delete it."""
    seen: list[Entry] = []
    kimi = FakeKimi(answering(), answering("more"))
    house = begun(House(kimi))

    def looking(_content: Content) -> None:
        seen.extend(entries(house))
        assert not is_idle(house)

    house.storage.refuse = looking
    house.answer(request=seeing())
    assert seen == [Entry("chat-1", "connect", house.presence.name, due=0.0)]


def test_a_system_text_goes_into_the_file_as_well() -> None:
    """All of the prompt is there."""
    house = House(FakeKimi(FakeExchange([Opened("chat-1")], [TextDelta("a")], [Finished()])), max_prompt=90)
    house.answer(request=asking(Message.of(Role.SYSTEM, "Be brief."), "b" * 91))
    assert "Be brief." in prompts(house)[0]


def test_the_last_event_of_a_turn_that_was_not_sent_is_its_failure() -> None:
    """Nothing else is told of it."""
    house = House(FakeKimi(answering()), storage=FakeStorage(refuse=lambda _: UpstreamUnavailable("no")))
    events = house.answer(request=asking(showing("hi", picture())))
    assert [type(event).__name__ for event in events] == ["Served", "Failed"]
    assert isinstance(events[-1], Failed)


# --- Asked once more ---------------------------------------------------------------------------------------


def marks_of(request: ChatRequest, account: Credential = ANN) -> Marks:
    """The marks of a request's tools."""
    marks = Terms.of(request, MODELS.choose(request.model), account.secret).marks
    assert marks is not None
    return marks


TOOLS = ToolUse((ToolSpec("Read"), ToolSpec("Bash")))
WORK = replace(TURN, tools=TOOLS)
MARKS = marks_of(WORK)
RESULT = Message(Role.TOOL, (ToolResultPart("call-1"), TextPart("42")))


def calling(*names: str) -> Message:
    """An assistant's message that calls."""
    return Message(
        Role.ASSISTANT, tuple(ToolCallPart(f"call-{place}", name, "{}") for place, name in enumerate(names, 1))
    )


def call(name: str = "Read", arguments: str = "{}") -> str:
    """A call as the model has to print it."""
    return f'{MARKS.call} name="{name}">\n{arguments}\n{MARKS.call_end}>'


UNKNOWN, BAD = call("Fly"), call(arguments="==")


def chat(*script: Step | str, tip: str = "message-1", chat_id: str = "chat-1") -> FakeExchange:
    """An exchange that ends well after these, if nothing else ends it; a text stands for itself."""
    steps: list[Step] = [[TextDelta(step)] if isinstance(step, str) else step for step in script]
    return FakeExchange([Opened(chat_id)], *steps, [Finished()], tip=tip)


def names_of(events: list[Event]) -> list[str]:
    """The calls that came to their end."""
    ended = {event.index for event in events if isinstance(event, ToolCallEnd)}
    return [event.name for event in events if isinstance(event, ToolCallStart) and event.index in ended]


def test_a_call_that_cannot_be_taken_is_asked_for_in_the_same_conversation() -> None:
    """The client sees one answer; the next request goes on behind the correction."""
    kimi = FakeKimi(chat(UNKNOWN), chat(call(), tip="message-2"), answering("done"))
    house = House(kimi)
    events = house.answer(request=WORK)
    assert [names_of(events), text_of(events), events[-1]] == [["Read"], "", Finished("tool_calls")]
    assert kimi.continued == [None, Continuation("chat-1", "message-1")]
    assert "There is no tool of the name Fly" in kimi.turns[1].text
    assert [kimi.turns[1].files, len(kimi.turns)] == [(), 2]
    assert [house.ledger_of(), house.streams(), kimi.deletions] == [["chat-1"], 0, []]
    assert entries(house) == [waiting(house)]
    house.answer(request=replace(WORK, messages=(user("hi"), calling("Read"), RESULT)))
    assert kimi.continued[2] == Continuation("chat-1", "message-2")


def test_a_model_is_asked_twice_and_then_it_is_an_error() -> None:
    """No other account is tried, and nothing of it stays."""
    kimi = FakeKimi(chat(UNKNOWN), chat(BAD), chat(BAD), answering("never"))
    house = House(kimi)
    events = house.answer(ANN, BOB, request=WORK)
    error = error_of(events)
    assert [type(error), error.status, len(kimi.turns)] == [ToolCallUnreadable, 502, 3]
    assert {account.token for account in kimi.accounts} == {ANN.token}
    assert [kimi.deleted, house.ledger_of(), house.streams(), is_idle(house, NEXT)] == [["chat-1"], [], 0, False]


def test_the_account_is_taken_while_the_model_is_asked() -> None:
    """And the conversation is in use."""
    seen: list[tuple[int, list[Entry]]] = []
    kimi = FakeKimi(chat(UNKNOWN), chat(lambda _: seen.append((house.streams(), entries(house))), call()))
    house: House = House(kimi)
    house.answer(request=WORK)
    assert seen == [(1, [Entry("chat-1", "connect", house.presence.name, due=0.0)])]


def test_a_question_uses_a_token_that_is_still_good() -> None:
    """The first turn may have taken its time."""
    kimi = FakeKimi(chat(lambda _: house.clock.advance(1000.0), UNKNOWN), chat(call()))
    house: House = House(kimi)
    house.grant = dated(house.clock)
    events = house.answer(refreshable(), request=replace(WORK, messages=(user("hi"),)))
    assert [claims_of(account.token)["n"] for account in kimi.accounts] == [1, 2]
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize("kind", [RateLimitExceeded, UpstreamBusy])
@pytest.mark.parametrize("raised", [False, True])
def test_good_calls_are_the_answer_where_the_question_is_refused(kind: type[GatewayError], *, raised: bool) -> None:
    """They can be run; what Kimi holds at its end is not what the client has, so it is deleted."""
    kimi = FakeKimi(chat(f"{call()}\n{UNKNOWN}"), FakeExchange(kind("no")) if raised else failing(kind("no")))
    house = House(kimi)
    events = house.answer(ANN, BOB, request=WORK)
    assert [names_of(events), events[-1], len(kimi.turns)] == [["Read"], Finished("tool_calls", cut=True), 2]
    assert [kimi.deleted, house.ledger_of(), house.streams()] == [["chat-1"], [], 0]


@pytest.mark.parametrize("kind", [RateLimitExceeded, UpstreamBusy])
def test_another_account_is_tried_where_the_question_is_refused(kind: type[GatewayError]) -> None:
    """The client has been given nothing yet."""
    again = FakeExchange([Opened("chat-2")], [TextDelta("Words."), Finished()])
    kimi = FakeKimi(chat(UNKNOWN), failing(kind("no")), again)
    house = House(kimi)
    events = house.answer(ANN, BOB, request=WORK)
    assert [text_of(events), events[0], Opened("chat-1") in events] == ["Words.", Served(BOB.account, 0.0), False]
    assert [account.token for account in kimi.accounts] == [ANN.token, ANN.token, BOB.token]
    assert [kimi.deleted, house.ledger_of(ANN), house.ledger_of(BOB)] == [["chat-1"], [], ["chat-2"]]
    assert isinstance(error_of(house.answer(ANN, request=WORK)), kind)  # the account is left alone for a while


def test_the_refusal_of_a_question_is_the_answer_of_one_account_alone() -> None:
    """With its own pause."""
    house = House(FakeKimi(chat(UNKNOWN), failing(RateLimitExceeded("no", retry_after=77))))
    error = error_of(house.answer(request=WORK))
    assert [type(error), error.retry_after, house.ledger_of()] == [RateLimitExceeded, 77, []]


def test_a_question_that_is_refused_gives_a_known_conversation_back() -> None:
    """It is a tree: the next request goes on where the client left it."""
    kimi = FakeKimi(chat(call()), chat(UNKNOWN, tip="message-2"), failing(UpstreamBusy("no")))
    house = House(kimi)
    house.answer(request=WORK)
    then = replace(WORK, messages=(user("hi"), calling("Read"), RESULT))
    assert isinstance(error_of(house.answer(request=then)), UpstreamBusy)
    assert [is_idle(house, then), entries(house), kimi.deletions] == [True, [waiting(house)], []]


def test_words_stand_where_the_question_about_them_is_refused() -> None:
    """Nobody would have missed anything."""
    kimi = FakeKimi(chat("I do not have access to any tools."), failing(RateLimitExceeded("no")))
    house = House(kimi)
    events = house.answer(request=WORK)
    assert [text_of(events), events[-1]] == ["I do not have access to any tools.", Finished(cut=True)]
    assert [kimi.deleted, house.streams()] == [["chat-1"], 0]


def test_a_client_that_leaves_while_the_model_is_asked_leaves_nothing() -> None:
    """The second turn is stopped, and the conversation deleted."""
    client = Cancellation()
    second = FakeExchange([Opened("chat-1")], lambda _: client.cancel(), ClientGone("gone"))
    kimi = FakeKimi(chat(UNKNOWN), second)
    house = House(kimi)
    assert isinstance(error_of(house.answer(request=WORK, cancellation=client)), ClientGone)
    assert [second.stops, kimi.deleted, house.ledger_of(), house.streams()] == [[ANN.token], ["chat-1"], [], 0]


def test_an_answer_that_is_dropped_while_the_model_is_asked_leaves_nothing() -> None:
    """As the pump drops it."""
    first, second = chat(f"Let me see.\n{UNKNOWN}"), chat(call(), "more")
    kimi = FakeKimi(first, second)
    house = House(kimi)
    answer = house.gateway.answer(WORK, (ANN,), Cancellation())
    told = [event for _ in range(2) for event in next(answer)]
    assert [text_of(told), names_of(told), first.running, second.running] == ["Let me see.", [], False, True]
    answer.close()  # type: ignore[attr-defined] # it is a generator
    house.settle()
    assert [first.stops, second.stops, kimi.deleted, house.streams()] == [[], [ANN.token], ["chat-1"], 0]


def test_a_client_that_leaves_between_two_turns_costs_no_question() -> None:
    """Nothing runs any more, and the conversation is deleted."""
    client = Cancellation()
    kimi = FakeKimi(chat(UNKNOWN, lambda _: client.cancel()), chat(call()))
    house = House(kimi)
    assert isinstance(error_of(house.answer(request=WORK, cancellation=client)), ClientGone)
    assert [len(kimi.turns), kimi.deleted, house.streams()] == [1, ["chat-1"], 0]


def test_a_background_call_is_asked_again_in_its_own_conversation() -> None:
    """Which is thrown away all the same."""
    title = "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
    request = replace(WORK, messages=(user(title),))
    marks = marks_of(request)
    kimi = FakeKimi(chat(f'{marks.call} name="Fly">{{}}{marks.call_end}>'), chat("A title"))
    house = House(kimi)
    assert text_of(house.answer(request=request)) == "A title"
    assert [kimi.continued, kimi.deleted] == [[None, Continuation("chat-1", "message-1")], ["chat-1"]]


@pytest.mark.parametrize("request_", [replace(WORK, keep=True), replace(WORK, conversation_id="chat-1")])
def test_a_conversation_of_the_client_s_own_goes_on_and_stays(request_: ChatRequest) -> None:
    """Whatever it was asked in it."""
    marks = marks_of(request_)
    bad = f'{marks.call} name="Fly">{{}}{marks.call_end}>'
    kimi = FakeKimi(chat(bad), chat("Words."))
    house = House(kimi)
    assert text_of(house.answer(request=request_)) == "Words."
    assert [kimi.continued[1], kimi.deletions] == [Continuation("chat-1", "message-1"), []]


@pytest.mark.parametrize("form", [JsonFormat(), JsonFormat('{"type":"object","required":["x"]}')])
@pytest.mark.parametrize("tools", [ToolUse(), TOOLS], ids=["no tools", "tools"])
def test_a_form_is_asked_for_in_the_same_conversation(form: JsonFormat, tools: ToolUse) -> None:
    """And the answer to that is kept."""
    kimi = FakeKimi(chat("I would rather talk."), chat('{"x": 1}', tip="message-2"), chat('{"x": 2}'))
    house = House(kimi)
    request = replace(TURN, form=form, tools=tools)
    events = house.answer(request=request)
    assert [text_of(events), events[-1]] == ['{"x": 1}', Finished()]
    assert [kimi.continued[1], house.ledger_of()] == [Continuation("chat-1", "message-1"), ["chat-1"]]
    house.answer(request=replace(request, messages=(user("hi"), said('{"x": 1}'), user("and?"))))
    assert kimi.continued[2] == Continuation("chat-1", "message-2")


@pytest.mark.parametrize("tools", [ToolUse(), TOOLS], ids=["no tools", "tools"])
def test_a_form_that_never_comes_is_an_error(tools: ToolUse) -> None:
    """Asked for twice; nothing of it stays."""
    kimi = FakeKimi(chat("No."), chat("No."), chat("No."), answering())
    house = House(kimi)
    error = error_of(house.answer(ANN, BOB, request=replace(TURN, form=JsonFormat(), tools=tools)))
    assert [type(error), error.status, len(kimi.turns)] == [StructuredOutputFailed, 502, 3]
    assert [kimi.deleted, house.ledger_of(), house.streams()] == [["chat-1"], [], 0]


def test_a_prompt_that_was_moved_is_moved_once() -> None:
    """The question is a short text."""
    request = replace(WORK, messages=(user("b" * 91),))
    marks = marks_of(request)
    kimi = FakeKimi(chat(f'{marks.call} name="Fly">{{}}{marks.call_end}>'), chat("Words."))
    house = House(kimi, max_prompt=90)
    events = house.answer(request=request)
    assert [text_of(events), moves(events), len(prompts(house))] == ["Words.", 1, 1]
    assert [len(turn.files) for turn in kimi.turns] == [1, 0]
    assert marks.call in kimi.turns[0].text  # the reminder stands beside the file, too
    assert "<tools>" in prompts(house)[0]


@pytest.mark.parametrize("error", [ContextLengthExceeded, ConversationNotFound])
def test_a_conversation_that_is_lost_while_the_model_is_asked_is_replaced(error: type[GatewayError]) -> None:
    """Nothing was shown yet: a new one is told all, with its tools."""
    kimi = FakeKimi(
        chat(call()), chat(UNKNOWN, tip="message-2"), failing(error("no")), chat("Words.", chat_id="chat-2")
    )
    house = House(kimi)
    house.answer(request=WORK)
    events = house.answer(request=replace(WORK, messages=(user("hi"), calling("Read"), RESULT)))
    assert [text_of(events), kimi.continued[2:]] == ["Words.", [Continuation("chat-1", "message-2"), None]]
    told = prompts(house)[0] if error is ContextLengthExceeded else kimi.turns[3].text
    assert ["<tools>" in told, "<result:" in told] == [True, True]
    assert [kimi.deleted, house.ledger_of(), house.streams()] == [["chat-1"], ["chat-2"], 0]
