"""One answer of Kimi's from opening to clean-up: which calls, in which order."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Sequence

import pytest

from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, TextDelta
from app.chat.request import Continuation
from app.errors import (
    ClientGone,
    ConversationNotFound,
    GatewayError,
    NothingSaid,
    RateLimitExceeded,
    SecondStreamRefused,
    TokenExpired,
    UpstreamBlocked,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from app.kimi.connect import ConnectPlan
from app.kimi.exchange import LINGER, MAX_CONTINUATIONS, Ask, ConnectExchange, Exchange, RestExchange
from app.kimi.http import HttpAnswer, HttpRequest
from app.kimi.rest import RestPlan
from app.kimi.turn import Turn
from tests.fakes import EVENT_STREAM, TRAILER, FakeTransport, Reply, Streamed, frame, json_answer
from tests.kimi.bodies import body_of

SITE = "https://kimi.example"
OPENED = frame({"chat": {"id": "chat-1"}})
MESSAGE = frame({"message": {"id": "message-1", "role": "assistant", "status": "MESSAGE_STATUS_GENERATING"}})
HELLO = frame({"block": {"id": "1", "text": {"content": "hello"}}})
DONE = frame({"done": {}})


def trailer(value: object) -> bytes:
    """The last frame of a Connect stream, with something in it."""
    return b"\x02" + frame(value)[1:]


HTML = HttpAnswer(403, {"content-type": "text/html"}, b"<html>")


def sse(*events: dict[str, object]) -> Streamed:
    """A body of the legacy site."""
    return Streamed([b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)], 200, EVENT_STREAM)


def cmpl(text: str) -> dict[str, object]:
    """A piece of text of the legacy site."""
    return {"event": "cmpl", "text": text}


END: dict[str, object] = {"event": "all_done"}
Respond = Callable[[HttpRequest], Reply]


CHAT = Continuation("chat-9")
TIP = Continuation("chat-9", "tip")


def connect(respond: Respond | Reply, continues: Continuation | None = None) -> tuple[ConnectExchange, FakeTransport]:
    """An exchange over Connect; every call that is not scripted succeeds."""
    transport = scripted("/Chat", respond)
    return ConnectExchange(transport, Ask(Turn("hi"), SITE, "token", continues), ConnectPlan("SCENARIO_K3")), transport


def rest(
    respond: Respond | Reply, continues: Continuation | None = None, plan: RestPlan | None = None
) -> tuple[RestExchange, FakeTransport]:
    """An exchange over the legacy protocol; every call that is not scripted succeeds."""
    transport = scripted("/stream", respond)
    return RestExchange(transport, Ask(Turn("hi"), SITE, "token", continues), plan or RestPlan()), transport


def scripted(stream: str, respond: Respond | Reply) -> FakeTransport:
    """A transport that gives a reply to the call for a stream, or lets a function decide."""

    def reply(request: HttpRequest) -> Reply:
        if callable(respond):
            return respond(request)
        return respond if request.url.endswith(stream) else json_answer({"id": "chat-1"})

    return FakeTransport(reply)


def events_of(exchange: Exchange) -> list[Event]:
    """All events, flat."""
    return [event for events in exchange.events(Cancellation()) for event in events]


def error_of(events: Sequence[Event]) -> GatewayError:
    """The error that ends them."""
    assert isinstance(events[-1], Failed)
    return events[-1].error


# --- Connect -----------------------------------------------------------------------------------------------


def test_connect_takes_one_call() -> None:
    """It opens the conversation and streams the answer."""
    exchange, transport = connect(Streamed([OPENED, HELLO + TRAILER]))
    assert events_of(exchange) == [Opened("chat-1"), TextDelta("hello"), Finished()]
    assert transport.calls == ["Chat"]
    assert exchange.conversation_id == "chat-1"
    assert transport.open == 0


def test_connect_answers_the_last_message_of_a_conversation() -> None:
    """Its id is looked up first."""
    listed = json_answer({"messages": [{"id": "u", "role": "user"}, {"id": "tip", "role": "assistant"}]})
    stream = Streamed([HELLO, TRAILER])
    exchange, transport = connect(lambda r: stream if r.url.endswith("/Chat") else listed, CHAT)
    assert events_of(exchange)[-1] == Finished()
    assert transport.calls == ["ListMessages", "Chat"]
    body = json.loads(body_of(transport.requests[1])[5:])
    assert [body["chat_id"], body["message"]["parent_id"]] == ["chat-9", "tip"]
    assert exchange.conversation_id == "chat-9"


def test_connect_asks_for_no_message_that_is_told() -> None:
    """Whoever has just read the last answer knows where it stands: one call less."""
    exchange, transport = connect(Streamed([HELLO, TRAILER]), TIP)
    assert events_of(exchange)[-1] == Finished()
    assert transport.calls == ["Chat"]
    body = json.loads(body_of(transport.requests[0])[5:])
    assert [body["chat_id"], body["message"]["parent_id"]] == ["chat-9", "tip"]


def test_connect_goes_on_without_the_call_that_lists_messages() -> None:
    """Another site may not know it."""
    stream = Streamed([HELLO, TRAILER])
    exchange, transport = connect(lambda r: stream if r.url.endswith("/Chat") else HttpAnswer(404, {}, b""), CHAT)
    assert events_of(exchange)[-1] == Finished()
    body = json.loads(body_of(transport.requests[1])[5:])
    assert body["chat_id"] == "chat-9"
    assert "parent_id" not in body["message"]


def test_connect_does_not_ask_for_a_conversation_that_is_not_there() -> None:
    """Its loss is told before a turn is spent."""
    exchange, transport = connect(lambda _: json_answer({"code": "not_found"}, 404), CHAT)
    with pytest.raises(ConversationNotFound):
        events_of(exchange)
    assert transport.calls == ["ListMessages"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (json_answer({"code": "unauthenticated"}, 401), TokenExpired),
        (HttpAnswer(401, {}, b""), TokenExpired),
        (HTML, UpstreamBlocked),
        (HttpAnswer(200, {"content-type": "text/html"}, b"<html>"), UpstreamBlocked),
        (json_answer({"code": "resource_exhausted"}), RateLimitExceeded),
        (HttpAnswer(502, {}, b""), UpstreamUnavailable),
        (Streamed([OPENED, HELLO]), UpstreamTruncated),
        (Streamed([OPENED, TRAILER]), NothingSaid),
    ],
)
def test_connect_s_failures_are_the_last_event(reply: Reply, kind: type[GatewayError]) -> None:
    """Whether it is a stream or not."""
    assert type(error_of(events_of(connect(reply)[0]))) is kind


@pytest.mark.parametrize(
    ("value", "seconds"), [("17", 17.0), ("0", 0.0), ("soon", None), ("", None), ("-1", None), ("\u0661", None)]
)
def test_a_pause_that_kimi_asks_for_is_passed_on(value: str, seconds: float | None) -> None:
    """If it is a number of seconds."""
    reply = HttpAnswer(429, {"retry-after": value}, b"")
    assert error_of(events_of(connect(reply)[0])).retry_after == seconds


def test_a_pause_without_end_is_none() -> None:
    """Thousands of digits are no number of seconds that a header could hold."""
    reply = HttpAnswer(429, {"retry-after": "9" * 400}, b"")
    assert (error_of(events_of(connect(reply)[0])).retry_after or 0) < 1e9


@pytest.mark.parametrize("late", [UpstreamTimeout("late"), ClientGone("gone"), None])
def test_a_trailer_may_be_late_when_the_answer_is_complete(late: GatewayError | None) -> None:
    """It is waited for a little."""
    exchange, transport = connect(Streamed([OPENED, HELLO + DONE, *([late] if late else [])]))
    assert events_of(exchange)[-1] == Finished()
    assert transport.streams[0].waits == [None, None, LINGER]


def test_a_timeout_in_the_middle_is_raised() -> None:
    """The answer is not complete."""
    exchange, _ = connect(Streamed([OPENED, HELLO, UpstreamTimeout("late")]))
    with pytest.raises(UpstreamTimeout):
        events_of(exchange)


def test_connect_stops_a_message_that_is_being_written() -> None:
    """With a fresh token."""
    exchange, transport = connect(Streamed([OPENED + MESSAGE + HELLO]))
    next(exchange.events(Cancellation()))
    exchange.stop("fresh")
    assert transport.bodies("CancelChat") == [{"chat_id": "chat-1", "message_id": "message-1"}]
    assert transport.requests[-1].headers["Authorization"] == "Bearer fresh"


@pytest.mark.parametrize(
    "chunks", [[OPENED + MESSAGE + HELLO + TRAILER], [OPENED + MESSAGE + HELLO + DONE], [OPENED], []]
)
def test_connect_stops_nothing_that_does_not_run(chunks: list[bytes]) -> None:
    """Kimi has ended it, or there is no message."""
    exchange, transport = connect(Streamed(chunks))
    events_of(exchange)
    exchange.stop("fresh")
    assert transport.calls == ["Chat"]


def test_connect_stops_nothing_before_it_began() -> None:
    """Nothing was sent."""
    exchange, transport = connect(Streamed([]))
    exchange.stop("fresh")
    assert transport.calls == []


def test_a_stop_that_fails_says_so() -> None:
    """It is tried again then."""
    stream = Streamed([OPENED + MESSAGE + HELLO])
    exchange, _ = connect(lambda r: stream if r.url.endswith("/Chat") else HttpAnswer(500, {}, b""))
    next(exchange.events(Cancellation()))
    with pytest.raises(UpstreamUnavailable):
        exchange.stop("fresh")


def test_connect_runs_from_its_message_to_its_end() -> None:
    """Before it there is nothing that could be named to Kimi, after it nothing to stop."""
    exchange, _ = connect(Streamed([OPENED, MESSAGE, HELLO, TRAILER]))
    seen = [exchange.running]
    seen += [exchange.running for _ in exchange.events(Cancellation())]
    assert seen == [False, False, True, False]


@pytest.mark.parametrize("chunks", [[OPENED + MESSAGE + HELLO], [OPENED + MESSAGE + HELLO, UpstreamTimeout("late")]])
def test_an_answer_that_broke_off_may_still_run(chunks: list[bytes | GatewayError]) -> None:
    """Kimi may not have noticed that nobody listens."""
    exchange, _ = connect(Streamed(chunks))
    with contextlib.suppress(UpstreamTimeout):
        events_of(exchange)
    assert exchange.running


@pytest.mark.parametrize(
    "end",
    [TRAILER, DONE + TRAILER, trailer({"error": {"code": "unavailable"}}), frame({"error": {"code": "internal"}})],
)
def test_what_kimi_has_ended_does_not_run(end: bytes) -> None:
    """Also where it ended with an error."""
    exchange, _ = connect(Streamed([OPENED + MESSAGE + HELLO, end]))
    events_of(exchange)
    assert not exchange.running


@pytest.mark.parametrize("continues", [None, CHAT, TIP])
def test_the_next_turn_goes_to_the_message_just_written(continues: Continuation | None) -> None:
    """In the conversation that was opened or continued."""
    exchange, _ = connect(Streamed([*([] if continues else [OPENED]), MESSAGE + HELLO, TRAILER]), continues)
    assert exchange.tip is None
    events_of(exchange)
    assert exchange.tip == Continuation("chat-9" if continues else "chat-1", "message-1")


@pytest.mark.parametrize("chunks", [[OPENED + HELLO, TRAILER], [MESSAGE + HELLO, TRAILER], []])
def test_there_is_no_next_turn_without_both_ids(chunks: list[bytes]) -> None:
    """A chat continued without its last message might go on at another place."""
    exchange, _ = connect(Streamed(chunks))
    events_of(exchange)
    assert exchange.tip is None


# --- The legacy site ---------------------------------------------------------------------------------------


def test_the_legacy_site_takes_two_calls() -> None:
    """One opens the conversation, one streams the answer."""
    exchange, transport = rest(sse(cmpl("hello"), END))
    assert events_of(exchange) == [Opened("chat-1"), TextDelta("hello"), Finished()]
    assert [f"{r.method} {r.url.removeprefix(SITE)}" for r in transport.requests] == [
        "POST /api/chat",
        "POST /api/chat/chat-1/completion/stream",
    ]


def test_the_legacy_site_continues_a_conversation_by_its_id() -> None:
    """No other is opened."""
    exchange, transport = rest(sse(cmpl("hello"), END), CHAT)
    assert events_of(exchange) == [Opened("chat-9"), TextDelta("hello"), Finished()]
    assert [r.url.removeprefix(SITE) for r in transport.requests] == ["/api/chat/chat-9/completion/stream"]


def test_an_answer_at_the_output_limit_is_continued() -> None:
    """The two bodies are one answer."""
    bodies = iter([sse({"event": "req", "id": "seg"}, cmpl("hel"), {"event": "length"}, END), sse(cmpl("lo"), END)])
    exchange, transport = rest(lambda _: next(bodies), CHAT)
    assert events_of(exchange) == [Opened("chat-9"), TextDelta("hel"), TextDelta("lo"), Finished()]
    assert [json.loads(body_of(r)).get("segment_id") for r in transport.requests] == [None, "seg"]


def test_an_answer_is_not_continued_for_ever() -> None:
    """It ends where the limit ended it."""
    exchange, transport = rest(sse({"event": "req", "id": "seg"}, cmpl("a"), {"event": "length"}, END), CHAT)
    assert events_of(exchange)[-1] == Finished("length")
    assert len(transport.requests) == MAX_CONTINUATIONS


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (HttpAnswer(401, {}, b""), TokenExpired),
        (HTML, UpstreamBlocked),
        (json_answer({"error_type": "chat.user_stream_pushing"}, 400), SecondStreamRefused),
        (sse(cmpl("hello")), UpstreamTruncated),
        (sse({"event": "error", "error": {"error_type": "auth.token.invalid"}}), TokenExpired),
    ],
)
def test_the_legacy_site_s_failures_are_the_last_event(reply: Reply, kind: type[GatewayError]) -> None:
    """Whether it is a stream or not."""
    assert type(error_of(events_of(rest(reply)[0]))) is kind


@pytest.mark.parametrize(
    ("usage", "calls"), [({"remain": 0}, ["usage"]), ({"remain": 1}, ["usage", "chat", "stream"]), ({}, None)]
)
def test_research_is_not_begun_without_a_turn_left(usage: dict[str, object], calls: list[str] | None) -> None:
    """A site that does not tell is tried."""
    stream = sse(cmpl("hello"), END)

    def respond(request: HttpRequest) -> Reply:
        if request.url.endswith("/usage"):
            return json_answer(usage)
        return stream if request.url.endswith("/stream") else json_answer({"id": "chat-1"})

    exchange, transport = rest(respond, plan=RestPlan(use_research=True))
    if calls == ["usage"]:
        with pytest.raises(RateLimitExceeded):
            events_of(exchange)
    else:
        assert events_of(exchange)[-1] == Finished()
    assert transport.calls == (calls or ["usage", "chat", "stream"])


def test_the_legacy_site_tells_of_a_conversation_as_soon_as_it_is_there() -> None:
    """Whoever reads the events can write it down before anything else may go wrong."""
    exchange, transport = rest(sse(cmpl("hello"), END))
    events = exchange.events(Cancellation())
    assert next(events) == []
    assert exchange.conversation_id == "chat-1"
    assert transport.calls == ["chat"]
    assert next(events) == [Opened("chat-1")]


@pytest.mark.parametrize("reply", [HttpAnswer(500, {}, b""), UpstreamTimeout("late"), UpstreamUnavailable("closed")])
def test_a_conversation_of_the_legacy_site_is_known_also_if_its_answer_fails(reply: Reply) -> None:
    """It is there all the same, and has to be deleted; it was not begun, so another account may serve."""
    exchange, _ = rest(reply)
    seen: list[Event] = []
    known: list[str | None] = []
    with contextlib.suppress(UpstreamTimeout, UpstreamUnavailable):
        for events in exchange.events(Cancellation()):
            seen += events
            known.append(exchange.conversation_id)
    assert known[0] == exchange.conversation_id == "chat-1"
    assert Opened("chat-1") not in seen


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (json_answer({}), UpstreamProtocolError),
        (HttpAnswer(401, {}, b""), TokenExpired),
        (json_answer({"error_type": "chat.user_stream_pushing"}, 400), SecondStreamRefused),
    ],
)
def test_the_legacy_site_opens_nothing_where_it_refuses(answer: HttpAnswer, kind: type[GatewayError]) -> None:
    """No conversation is told, because there is none."""
    exchange, transport = rest(lambda _: answer)
    with pytest.raises(kind):
        events_of(exchange)
    assert exchange.conversation_id is None
    assert exchange.tip is None
    assert transport.calls == ["chat"]


@pytest.mark.parametrize(("continues", "chat_id"), [(None, "chat-1"), (CHAT, "chat-9")])
def test_the_legacy_site_knows_where_a_conversation_ends(continues: Continuation | None, chat_id: str) -> None:
    """The next turn needs its id only."""
    exchange, _ = rest(sse(cmpl("hello"), END), continues)
    events_of(exchange)
    assert exchange.tip == Continuation(chat_id)


def test_the_legacy_site_needs_no_stopping() -> None:
    """It ends with its connection."""
    exchange, transport = rest(sse(cmpl("hello")))
    running = [exchange.running for _ in exchange.events(Cancellation())]
    exchange.stop("fresh")
    assert not any([*running, exchange.running])
    assert transport.calls == ["chat", "stream"]


@pytest.mark.parametrize(
    ("make", "refusal"),
    [
        (lambda reply: connect(reply, TIP), json_answer({"code": "not_found"}, 404)),
        (lambda reply: rest(reply, CHAT), json_answer({"error_type": "chat.not_found", "message": "x"}, 404)),
    ],
    ids=["connect", "rest"],
)
def test_the_refusal_of_a_continued_conversation_comes_first(
    make: Callable[[Reply], tuple[Exchange, FakeTransport]], refusal: HttpAnswer
) -> None:
    """Whoever reads on can begin anew: nothing has been told that would have to be taken back."""
    exchange, _ = make(refusal)
    (failed,) = next(iter(exchange.events(Cancellation())))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ConversationNotFound)


@pytest.mark.parametrize("make", [connect, rest])
def test_a_reader_that_leaves_closes_the_connection(
    make: Callable[[Reply], tuple[ConnectExchange | RestExchange, FakeTransport]],
) -> None:
    """With its generator."""
    reply = Streamed([OPENED, HELLO, HELLO]) if make is connect else sse(cmpl("a"))
    exchange, transport = make(reply)
    events = exchange.events(Cancellation())
    assert any(isinstance(event, TextDelta) for batch in itertools.islice(events, 3) for event in batch)
    assert transport.open == 1
    events.close()  # type: ignore[attr-defined] # it is a generator
    assert transport.open == 0


@pytest.mark.parametrize("make", [connect, rest])
def test_nothing_is_sent_for_a_client_that_has_left(
    make: Callable[[Reply], tuple[ConnectExchange | RestExchange, FakeTransport]],
) -> None:
    """Not even a conversation is opened."""
    exchange, transport = make(Streamed([]))
    gone = Cancellation()
    gone.cancel()
    with pytest.raises(ClientGone):
        list(exchange.events(gone))
    assert transport.requests == []


def test_an_ask_shows_neither_text_nor_token() -> None:
    """Its repr may end up in a log."""
    assert "secret" not in repr(Ask(Turn("secret"), SITE, "secret"))
