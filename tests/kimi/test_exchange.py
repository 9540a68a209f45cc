"""One answer of Kimi's from opening to clean-up: which calls, in which order."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, TextDelta
from app.errors import (
    ClientGone,
    ConversationNotFound,
    GatewayError,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from app.kimi.connect import ConnectPlan
from app.kimi.exchange import LINGER, MAX_CONTINUATIONS, Ask, ConnectExchange, Exchange, RestExchange
from app.kimi.http import HttpAnswer, HttpRequest
from app.kimi.rest import RestPlan
from tests.fakes import EVENT_STREAM, TRAILER, FakeTransport, Reply, Streamed, frame, json_answer

SITE = "https://kimi.example"
OPENED = frame({"chat": {"id": "chat-1"}})
MESSAGE = frame({"message": {"id": "message-1", "role": "assistant", "status": "MESSAGE_STATUS_GENERATING"}})
HELLO = frame({"block": {"id": "1", "text": {"content": "hello"}}})
DONE = frame({"done": {}})
HTML = HttpAnswer(403, {"content-type": "text/html"}, b"<html>")


def sse(*events: dict[str, object]) -> Streamed:
    """A body of the legacy site."""
    return Streamed([b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)], 200, EVENT_STREAM)


def cmpl(text: str) -> dict[str, object]:
    """A piece of text of the legacy site."""
    return {"event": "cmpl", "text": text}


END: dict[str, object] = {"event": "all_done"}
Respond = Callable[[HttpRequest], Reply]


def connect(respond: Respond | Reply, conversation_id: str | None = None) -> tuple[ConnectExchange, FakeTransport]:
    """An exchange over Connect; every call that is not scripted succeeds."""
    transport = scripted("/Chat", respond)
    return ConnectExchange(transport, Ask("hi", SITE, "token", conversation_id), ConnectPlan("SCENARIO_K3")), transport


def rest(
    respond: Respond | Reply, conversation_id: str | None = None, plan: RestPlan | None = None
) -> tuple[RestExchange, FakeTransport]:
    """An exchange over the legacy protocol; every call that is not scripted succeeds."""
    transport = scripted("/stream", respond)
    return RestExchange(transport, Ask("hi", SITE, "token", conversation_id), plan or RestPlan()), transport


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
    exchange, transport = connect(lambda r: stream if r.url.endswith("/Chat") else listed, "chat-9")
    assert events_of(exchange)[-1] == Finished()
    assert transport.calls == ["ListMessages", "Chat"]
    body = json.loads((transport.requests[1].body or b"")[5:])
    assert [body["chat_id"], body["message"]["parent_id"]] == ["chat-9", "tip"]
    assert exchange.conversation_id == "chat-9"


def test_connect_goes_on_without_the_call_that_lists_messages() -> None:
    """Another site may not know it."""
    stream = Streamed([HELLO, TRAILER])
    exchange, _ = connect(lambda r: stream if r.url.endswith("/Chat") else HttpAnswer(404, {}, b""), "chat-9")
    assert events_of(exchange)[-1] == Finished()


def test_connect_does_not_ask_for_a_conversation_that_is_not_there() -> None:
    """Its loss is told before a turn is spent."""
    exchange, transport = connect(lambda _: json_answer({"code": "not_found"}, 404), "chat-9")
    with pytest.raises(ConversationNotFound):
        events_of(exchange)
    assert transport.calls == ["ListMessages"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (json_answer({"code": "unauthenticated"}, 401), TokenExpired),
        (HttpAnswer(401, {}, b""), TokenExpired),
        (HTML, UpstreamProtocolError),
        (HttpAnswer(200, {"content-type": "text/html"}, b"<html>"), UpstreamProtocolError),
        (json_answer({"code": "resource_exhausted"}), RateLimitExceeded),
        (HttpAnswer(502, {}, b""), UpstreamUnavailable),
        (Streamed([OPENED, HELLO]), UpstreamTruncated),
        (Streamed([OPENED, TRAILER]), UpstreamBusy),
    ],
)
def test_connect_s_failures_are_the_last_event(reply: Reply, kind: type[GatewayError]) -> None:
    """Whether it is a stream or not."""
    assert type(error_of(events_of(connect(reply)[0]))) is kind


@pytest.mark.parametrize(
    ("value", "seconds"), [("17", 17.0), ("soon", 60.0), ("", 60.0), ("-1", 60.0), ("\u0661", 60.0)]
)
def test_a_pause_that_kimi_asks_for_is_passed_on(value: str, seconds: float) -> None:
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
    exchange.delete("fresh")
    assert transport.calls == []


def test_connect_deletes_its_conversation() -> None:
    """With a fresh token."""
    exchange, transport = connect(Streamed([OPENED + HELLO + TRAILER]))
    events_of(exchange)
    exchange.delete("fresh")
    assert transport.bodies("DeleteChat") == [{"chat_id": "chat-1"}]
    assert transport.requests[-1].headers["Authorization"] == "Bearer fresh"


def test_a_deletion_that_fails_says_so() -> None:
    """It is tried again then."""
    exchange, _ = connect(
        lambda r: Streamed([OPENED, TRAILER]) if r.url.endswith("/Chat") else HttpAnswer(500, {}, b"")
    )
    events_of(exchange)
    with pytest.raises(UpstreamUnavailable):
        exchange.delete("fresh")


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
    exchange, transport = rest(sse(cmpl("hello"), END), "chat-9")
    assert Opened("chat-9") in events_of(exchange)
    assert [r.url.removeprefix(SITE) for r in transport.requests] == ["/api/chat/chat-9/completion/stream"]


def test_an_answer_at_the_output_limit_is_continued() -> None:
    """The two bodies are one answer."""
    bodies = iter([sse({"event": "req", "id": "seg"}, cmpl("hel"), {"event": "length"}, END), sse(cmpl("lo"), END)])
    exchange, transport = rest(lambda _: next(bodies), "chat-9")
    assert events_of(exchange) == [Opened("chat-9"), TextDelta("hel"), TextDelta("lo"), Finished()]
    assert [json.loads(r.body or b"").get("segment_id") for r in transport.requests] == [None, "seg"]


def test_an_answer_is_not_continued_for_ever() -> None:
    """It ends where the limit ended it."""
    exchange, transport = rest(sse({"event": "req", "id": "seg"}, cmpl("a"), {"event": "length"}, END), "chat-9")
    assert events_of(exchange)[-1] == Finished("length")
    assert len(transport.requests) == MAX_CONTINUATIONS


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (HttpAnswer(401, {}, b""), TokenExpired),
        (HTML, UpstreamProtocolError),
        (json_answer({"error_type": "chat.user_stream_pushing"}, 400), RateLimitExceeded),
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


def test_the_legacy_site_deletes_its_conversation() -> None:
    """Stopping it needs no call."""
    exchange, transport = rest(sse(cmpl("hello"), END))
    events_of(exchange)
    exchange.stop("fresh")
    exchange.delete("fresh")
    assert f"{transport.requests[-1].method} {transport.requests[-1].url}" == f"DELETE {SITE}/api/chat/chat-1"
    assert len(transport.requests) == 3


def test_the_legacy_site_deletes_nothing_before_it_began() -> None:
    """Nothing was sent."""
    exchange, transport = rest(sse())
    exchange.delete("fresh")
    assert transport.requests == []


@pytest.mark.parametrize("make", [connect, rest])
def test_a_reader_that_leaves_closes_the_connection(
    make: Callable[[Reply], tuple[ConnectExchange | RestExchange, FakeTransport]],
) -> None:
    """With its generator."""
    reply = Streamed([OPENED, HELLO]) if make is connect else sse(cmpl("a"))
    exchange, transport = make(reply)
    events = exchange.events(Cancellation())
    next(events)
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
    assert "secret" not in repr(Ask("secret", SITE, "secret"))
