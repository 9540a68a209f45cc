"""The legacy protocol: its requests, and its stream to events."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import Cited, Event, Finished, Source, TextDelta, ThinkingDelta
from app.errors import (
    ContextLengthExceeded,
    GatewayError,
    NothingSaid,
    SecondStreamRefused,
    TokenExpired,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTruncated,
)
from app.kimi import rest
from app.kimi.http import HttpAnswer, HttpRequest
from app.kimi.rest import RestDecoder, RestPlan
from app.kimi.turn import Turn
from tests.drip import drip, random_chunks
from tests.kimi.bodies import body_of
from tests.kimi.streams import Failure, Seen, capture, decode_legacy, ends, lines, run, text_of

BASE: Final = "https://kimi.example"
TOKEN: Final = "the-token"
ALL_DONE: Final = {"event": "all_done"}
FOUND: Final = Source(url="https://a.example/", title="A")


def said(text: str) -> dict[str, object]:
    """An event with text of the answer."""
    return {"event": "cmpl", "text": text}


def result(source: Source = FOUND) -> dict[str, object]:
    """An event with a page that a search found."""
    page = {"type": "get_res", "successNum": 1, "title": source.title, "url": source.url, "site_name": "x"}
    return {"event": "search_plus", "msg": page}


def answered(*events: object) -> list[Seen]:
    """What comes out of a whole answer, whichever way it is cut, without Finished."""
    *middle, finished = drip(decode_legacy, lines(*events, ALL_DONE), count=5)
    assert finished == Finished()
    return middle


def refused(*events: object) -> type[GatewayError]:
    """The kind of error that ends an answer."""
    *_, last = decode_legacy([lines(*events)])
    assert isinstance(last, Failure), last
    return last.kind


# --- Requests -----------------------------------------------------------------------------------------


def sent(request: HttpRequest) -> tuple[str, str, object]:
    """Method, URL and JSON body of a request that bears the token and names its origin."""
    assert request.headers["Authorization"] == "Bearer the-token"
    assert request.headers["Origin"] == BASE
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Msh-Platform"] == "web"
    return request.method, request.url, None if request.body is None else json.loads(body_of(request))


def test_create_chat() -> None:
    """A conversation is opened under the plan's agent."""
    assert sent(rest.create_chat(BASE, TOKEN, RestPlan(kimiplus_id="agent"))) == (
        "POST",
        "https://kimi.example/api/chat",
        {"name": "kimi-gateway", "is_example": False, "enter_method": "new_chat", "kimiplus_id": "agent"},
    )


def test_completion() -> None:
    """A turn is one user message with the plan's switches."""
    plan = RestPlan(kimiplus_id="agent", model="k1", use_search=True, use_research=True, use_math=True)
    request = rest.completion(BASE, TOKEN, plan, "c1", Turn("Hi"))
    assert sent(request) == (
        "POST",
        "https://kimi.example/api/chat/c1/completion/stream",
        {
            "kimiplus_id": "agent",
            "messages": [{"role": "user", "content": "Hi"}],
            "refs": [],
            "use_search": True,
            "use_research": True,
            "use_math": True,
            "model": "k1",
            "extend": {"sidebar": True},
        },
    )
    assert request.headers["Accept"] == "text/event-stream"
    assert request.headers["Referer"] == "https://kimi.example/chat/c1"


def test_plain_completion() -> None:
    """A plan without words asks the plain model for nothing more."""
    _, _, body = sent(rest.completion(BASE, TOKEN, RestPlan(), "c1", Turn("Hi")))
    assert isinstance(body, dict)
    assert [body[name] for name in ("kimiplus_id", "model", "use_search", "use_research", "use_math")] == [
        "kimi",
        "kimi",
        False,
        False,
        False,
    ]


def test_files_of_a_turn_are_referred_to() -> None:
    """By their ids, in their order; the rest of the request is the same."""
    _, _, plain = sent(rest.completion(BASE, TOKEN, RestPlan(), "c1", Turn("Hi")))
    _, _, filed = sent(rest.completion(BASE, TOKEN, RestPlan(), "c1", Turn("Hi", ("file-2", "file-1"))))
    assert isinstance(plain, dict)
    assert filed == {**plain, "refs": ["file-2", "file-1"]}


def test_continuation() -> None:
    """The rest of an answer is asked for by its segment."""
    assert sent(rest.continuation(BASE, TOKEN, RestPlan(), "c1", "s1")) == (
        "POST",
        "https://kimi.example/api/chat/c1/completion/stream",
        {
            "segment_id": "s1",
            "action": "continue",
            "messages": [{"role": "user", "content": " "}],
            "kimiplus_id": "kimi",
            "extend": {"sidebar": True},
        },
    )


def test_plain_calls() -> None:
    """The plain calls have their paths and bodies."""
    assert sent(rest.delete_chat(BASE, TOKEN, "c1")) == ("DELETE", "https://kimi.example/api/chat/c1", {})
    assert sent(rest.research_usage(BASE, TOKEN)) == ("GET", "https://kimi.example/api/chat/research/usage", None)
    assert sent(rest.current_user(BASE, TOKEN)) == ("GET", "https://kimi.example/api/user", None)


def test_requests_hide_the_token() -> None:
    """Neither the token nor the text stands in a request's repr."""
    shown = repr(rest.completion(BASE, TOKEN, RestPlan(), "c1", Turn("the text")))
    assert "the-token" not in shown
    assert "the text" not in shown


# --- Answers of plain calls ---------------------------------------------------------------------------


def answer(body: bytes, status: int = 200) -> HttpAnswer:
    """An answer in JSON."""
    return HttpAnswer(status, {"content-type": "application/json"}, body)


def test_chat_id() -> None:
    """A new conversation is named by its id."""
    assert rest.chat_id_of(answer(b'{"id":"c1","name":"x"}')) == "c1"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", UpstreamProtocolError),
        (b'{"id":7}', UpstreamProtocolError),
        (b"<html>", UpstreamProtocolError),
        (b'{"error_type":"auth.token.invalid","message":"x"}', TokenExpired),
    ],
)
def test_no_chat_id(body: bytes, kind: type[GatewayError]) -> None:
    """An answer without an id is what it means, also under status 200."""
    with pytest.raises(kind):
        rest.chat_id_of(answer(body))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"remain":3,"total":5,"used":2}', 3),
        (b'{"remain":0}', 0),
        (b"{}", None),
        (b'{"remain":true}', None),
        (b'{"remain":"3"}', None),
        (b"<html>", None),
        (b"[]", None),
    ],
)
def test_research_left(body: bytes, expected: int | None) -> None:
    """The turns that are left are a number or not told."""
    assert expected == rest.research_left(answer(body))


# --- Captures ---------------------------------------------------------------------------------------------


def test_captured_stream() -> None:
    """The captured lines give their source and their text up to all_done, in every cut."""
    stream = b"".join(row["line"].encode() + b"\n\n" for row in capture("08"))
    weather = Source(url="http://m.nmc.cn/publish/forecast/AJS/nanjing.html", title="南京天气")
    assert drip(decode_legacy, stream) == [
        weather,
        TextDelta(" "),
        TextDelta("1"),
        TextDelta("2"),
        Finished(),
    ]


def test_captured_later_delta() -> None:
    """The later form of a delta is read like the first."""
    *_, later = capture("08")
    assert text_of(decode_legacy([later["line"].encode() + b"\n\n", lines(ALL_DONE)])) == "\N{HORSE}"


def test_captured_errors() -> None:
    """The captured error events are what they mean."""
    completion, too_long = (row["body"] for row in capture("09") if row["where"] == "SSE event")
    assert refused(completion) is UpstreamBusy
    assert refused(said("Hel"), too_long) is ContextLengthExceeded


# --- Events -------------------------------------------------------------------------------------------------


def test_typical_answer() -> None:
    """The events of a searched answer come in their order, bookkeeping does not."""
    events = [
        {"event": "req", "id": "s1", "group_id": "g", "content": "never", "refs": []},
        {"event": "resp", "id": "s2", "group_id": "g"},
        {"event": "debug", "message": {"need2search": True}},
        {"event": "search_plus", "msg": {"type": "start"}},
        {"event": "search_plus", "msg": {"type": "start_res"}},
        result(),
        {"event": "search_plus", "msg": {"type": "answer"}},
        {"event": "k1", "text": "Hm"},
        {"event": "zone_set", "zone_type": "x"},
        said("Hello"),
        {"event": "ping"},
        said("[^1^]"),
        {"event": "done"},
        {"event": "chat_prompt", "text": "never"},
    ]
    assert answered(*events) == [FOUND, ThinkingDelta("Hm"), TextDelta("Hello"), Cited((FOUND,))]


@pytest.mark.parametrize("name", ["k1", "think"])
def test_thinking(name: str) -> None:
    """Thinking comes under two names, with or without what a search found."""
    found = {"event": name, "type": "search_results", "search_results": [{"url": FOUND.url, "title": "A"}]}
    targets = {"event": name, "type": "search_targets", "search_targets": ["never"]}
    assert answered(targets, found, {"event": name, "text": "Hm"}, said("Hello[search result (1)]")) == [
        FOUND,
        ThinkingDelta("Hm"),
        TextDelta("Hello"),
        Cited((FOUND,)),
    ]


def test_reference_cards() -> None:
    """Reference cards are sources too; each address counts once."""
    second = Source(url="https://b.example/", title="B")
    cards = {
        "event": "ref_docs",
        "ref_cards": [
            {"idx_s": 0, "url": FOUND.url, "title": "other"},
            {"url": second.url, "title": "B"},
            {"url": "javascript:x", "title": "C"},
            {},
        ],
    }
    assert answered(result(), cards, said("x[^2^]")) == [FOUND, second, TextDelta("x"), Cited((second,))]


@pytest.mark.parametrize(
    "event",
    [{"event": "rename", "text": "never"}, {"event": "concat"}, {"event": "new"}, {"event": 7}, {}, [], "x", None],
    ids=str,
)
def test_unknown_events(event: object) -> None:
    """Unknown events pass without a trace."""
    assert answered(event, said("Hello"), event) == [TextDelta("Hello")]


def test_unknown_events_are_counted() -> None:
    """Events that no known protocol explains are counted, and known ones are not."""
    decoder = RestDecoder()
    decoder.feed(lines({"event": "new"}, {"event": "ping"}, said("x")) + b"data: {broken\n\n: comment\n\n")
    assert decoder.unknown == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str) -> None:
    """Comments, event lines and any line end are taken."""
    rows = [": keep-alive", "", "event: cmpl", 'data: {"event":"cmpl","text":"a\ufffd"}', "", "data: ", "", ""]
    stream = end.join(rows).encode() + lines(ALL_DONE)
    assert drip(decode_legacy, stream) == [TextDelta("a\ufffd"), Finished()]


# --- The end ------------------------------------------------------------------------------------------------


def test_cut_at_every_event() -> None:
    """An answer that stops before all_done is always flagged, also after `done`."""
    events = [{"event": "req", "id": "s1"}, {"event": "resp", "id": "s2"}, said("Hel"), said("lo"), {"event": "done"}]
    for count in range(len(events) + 1):
        seen = decode_legacy([lines(*events[:count])])
        assert seen[-1] == Failure(UpstreamTruncated)
        assert ends(seen) == [len(seen) - 1]


def test_cut_within_the_last_event() -> None:
    """Without the blank line after it, all_done has not come."""
    assert decode_legacy([lines(said("Hello"), ALL_DONE)[:-1]])[-1] == Failure(UpstreamTruncated)


def test_nothing_follows_the_end() -> None:
    """What comes after all_done is not looked at, however large or broken it is."""
    stream = lines(said("Hello"), ALL_DONE)
    for trailing in (lines(said("never")), lines({"event": "error"}), b"data: " + b"x" * 2000, b"x" * 2000):
        seen = drip(lambda chunks: run(RestDecoder(ceiling=1000), chunks), stream, trailing=trailing, count=5, small=0)
        assert seen == [TextDelta("Hello"), Finished()]


def test_event_over_the_ceiling() -> None:
    """An event over the ceiling ends the answer as failed; what came before it stays."""
    stream = lines(said("Hello"), said("x" * 2000))
    assert drip(lambda chunks: run(RestDecoder(ceiling=1000), chunks), stream, count=5) == [
        TextDelta("Hello"),
        Failure(UpstreamProtocolError),
    ]


@pytest.mark.parametrize("events", [[], [{"event": "ping"}], [{"event": "k1", "text": "Hm"}], [said("")]])
def test_empty_answer(events: list[dict[str, object]]) -> None:
    """An answer that completes without a word is a sign of load, no success."""
    assert refused(*events, ALL_DONE) is NothingSaid


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error_type": "auth.token.invalid"}, TokenExpired),
        ({"error_type": "chat.user_stream_pushing"}, SecondStreamRefused),
        ({"error_type": "something.new"}, UpstreamProtocolError),
        ({}, UpstreamProtocolError),
        ("text", UpstreamProtocolError),
    ],
)
def test_error_events(error: object, kind: type[GatewayError]) -> None:
    """An error event ends the answer as failed by its type; what came before it stays and nothing follows."""
    stream = lines(said("Hel"), {"event": "error", "error": error}, said("never"), ALL_DONE)
    assert drip(decode_legacy, stream, count=5) == [TextDelta("Hel"), Failure(kind)]


# --- The output limit -----------------------------------------------------------------------------------------

FIRST_PART: Final = [{"event": "req", "id": "s1"}, {"event": "resp", "id": "s2"}, said("Hel"), {"event": "length"}]


def test_continuation_is_one_answer() -> None:
    """An answer at its limit is continued by the request's segment, and stitched together."""

    def read(chunks: Sequence[bytes]) -> list[Event]:
        decoder = RestDecoder()
        events = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.finish()
        assert (decoder.ended, decoder.continuation) == (True, "s1")
        decoder.resume()
        assert (decoder.ended, decoder.continuation) == (False, None)
        events += decoder.feed(lines({"event": "req", "id": "s3"}, said("lo"), {"event": "done"}, ALL_DONE))
        return events + decoder.finish()

    stream = lines(*FIRST_PART, {"event": "done"}, ALL_DONE)
    assert drip(read, stream, trailing=lines(said("never")), count=10) == [
        TextDelta("Hel"),
        TextDelta("lo"),
        Finished(),
    ]


def test_continuation_of_a_continuation() -> None:
    """Each part names its own segment."""
    decoder = RestDecoder()
    decoder.feed(lines(*FIRST_PART, ALL_DONE))
    decoder.resume()
    decoder.feed(lines({"event": "req", "id": "s3"}, {"event": "length"}, ALL_DONE))
    assert decoder.continuation == "s3"


def test_citation_over_a_continuation() -> None:
    """A marker that the limit cut in two is one marker, and sources keep their numbers."""
    decoder = RestDecoder()
    events = decoder.feed(lines(result(), *FIRST_PART[:2], said("Hello[^"), {"event": "length"}, ALL_DONE))
    decoder.resume()
    events += decoder.feed(lines(said("1^]"), ALL_DONE))
    assert events == [FOUND, TextDelta("Hello"), Cited((FOUND,)), Finished()]


def test_limit_with_the_answer_segment_only() -> None:
    """Without the request's segment the answer's own is continued."""
    decoder = RestDecoder()
    decoder.feed(lines({"event": "resp", "id": "s2"}, said("x"), {"event": "length"}, ALL_DONE))
    assert decoder.continuation == "s2"


def test_limit_without_a_segment() -> None:
    """An answer at its limit that cannot be continued ends for that reason."""
    assert decode_legacy([lines(said("Hel"), {"event": "length"}, ALL_DONE)])[-1] == Finished("length")


def test_cut_after_the_limit() -> None:
    """The limit alone is no end."""
    assert decode_legacy([lines(*FIRST_PART)])[-1] == Failure(UpstreamTruncated)


def test_cut_within_the_continuation() -> None:
    """A continuation that breaks off is flagged, and an error in it counts."""
    for rest_of_it, kind in (
        (lines(said("lo")), UpstreamTruncated),
        (lines({"event": "error"}), UpstreamProtocolError),
    ):
        decoder = RestDecoder()
        decoder.feed(lines(*FIRST_PART, ALL_DONE))
        decoder.resume()
        assert run(decoder, [rest_of_it])[-1] == Failure(kind)


def test_cut_event_of_the_first_part() -> None:
    """Half an event at the end of one body is not the head of the next."""
    decoder = RestDecoder()
    decoder.feed(lines(*FIRST_PART, ALL_DONE) + b'data: {"event":"cmpl","text":"never')
    decoder.resume()
    assert run(decoder, [lines(said("lo"), ALL_DONE)]) == [TextDelta("lo"), Finished()]


def test_stop_at_the_limit() -> None:
    """An answer that is not continued any more ends for its length, with what was held back."""
    decoder = RestDecoder()
    decoder.feed(lines(result(), *FIRST_PART[:2], said("Hello["), {"event": "length"}, ALL_DONE))
    decoder.resume()
    assert decoder.stop_at_limit() == [TextDelta("["), Finished("length")]
    assert decoder.feed(lines(said("never"))) == []
    assert decoder.finish() == []


# --- Anything ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_any_bytes(first: bytes, second: bytes) -> None:
    """Arbitrary bytes give one terminal event, the last."""
    events = decode_legacy([first, second])
    assert ends(events) == [len(events) - 1]


ANYTHING: Final = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
NAMES: Final = st.sampled_from(
    ["req", "resp", "cmpl", "k1", "search_plus", "ref_docs", "length", "done", "error", "all_done", "new"]
)
PAGE: Final = st.fixed_dictionaries({}, optional={"url": st.sampled_from(["https://x/", ""]) | ANYTHING})
EVENT: Final = st.fixed_dictionaries(
    {"event": NAMES},
    optional={
        "id": ANYTHING,
        "text": st.text(alphabet="ab[^1]", max_size=8) | ANYTHING,
        "msg": PAGE | ANYTHING,
        "ref_cards": st.lists(PAGE, max_size=2) | ANYTHING,
        "search_results": st.lists(PAGE, max_size=2) | ANYTHING,
        "error": ANYTHING,
    },
)


@given(st.lists(EVENT | ANYTHING, max_size=8), st.randoms(use_true_random=False))
def test_any_events(events: list[Any], chance: random.Random) -> None:
    """Arbitrary events never raise, end at most once and last, and are the same in any cut."""
    stream = lines(*events)
    seen = decode_legacy([stream])
    assert ends(seen) in ([], [len(seen) - 1])
    assert decode_legacy(random_chunks(stream, chance)) == seen
