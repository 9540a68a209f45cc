"""How a stream behaves on the wire: headers, held status, keep-alives, pieces as they come, hang-ups."""

import itertools
import signal
import socket
import time
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam

from emulator.client import EmulatorControl
from tests.e2e.conftest import ALONE, GRACE, KEEPALIVE, LIMIT, running
from tests.e2e.support import Door, Guest, Piece, RawStream, capture, until

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
KEEP_ALIVE = ": keep-alive"
LONG = "word " * 400


def contents(pieces: list[Piece]) -> list[Piece]:
    """The lines that carry text."""
    return [piece for piece in pieces if piece.content]


def test_the_headers_of_a_stream(door: Door) -> None:
    """No cache, no proxy and no browser may hold the stream back or guess its kind."""
    with door.streamed() as stream:
        headers = {name.lower(): value for name, value in stream.response.getheaders()}
        list(stream.pieces())
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-request-id"]


def test_a_request_id_of_the_clients_is_kept(connect: Door) -> None:
    """An x-request-id that the client sends comes back; an unsafe one is replaced."""
    for sent, kept in (("my-request.1", True), ("x" * 200, False)):
        reply = connect.gateway.request("GET", "/ping", headers={"x-request-id": sent})
        assert (reply.headers["x-request-id"] == sent) is kept


def test_text_arrives_as_it_is_written(door: Door) -> None:
    """Ten pieces a tenth of a second apart reach the client one by one, not in a lump."""
    door.guest.plan({"text": "0123456789", "piece": 1, "delay": 0.1})
    with door.streamed() as stream:
        pieces = contents(list(stream.pieces()))
    assert [piece.content for piece in pieces] == list("0123456789")
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(pieces)]
    assert pieces[-1].at - pieces[0].at > 0.7
    assert max(gaps) < 0.5


def test_the_first_word_is_not_held_back(door: Door) -> None:
    """The grace time ends with the first word."""
    door.guest.plan({"text": "One two", "delay": 0.5, "piece": 4})
    with door.streamed() as stream:
        assert stream.head_at < 0.4
        assert contents(list(stream.pieces()))[0].at < 0.4


def test_silence_is_filled_with_comments(door: Door) -> None:
    """After the grace time the headers are out, and comments bridge what is silent."""
    door.guest.plan({"text": "At last.", "silent_after_headers": 1.6})
    with door.streamed() as stream:
        assert stream.response.status == 200
        assert GRACE - 0.2 < stream.head_at < GRACE + 0.4
        pieces = list(stream.pieces())
    comments = [piece.at for piece in pieces if piece.line == KEEP_ALIVE]
    assert 2 <= len(comments) <= 4
    assert comments[1] - comments[0] == pytest.approx(KEEPALIVE, abs=0.2)
    assert "".join(piece.content for piece in pieces) == "At last."
    assert pieces[-1].line == "data: [DONE]"


def test_silence_in_the_middle_is_filled_too(connect: Door) -> None:
    """Between two words the client hears from the gateway as well."""
    connect.guest.plan({"text": "ab", "piece": 1, "delay": 0.5})
    with connect.streamed() as stream:
        lines = [piece.line for piece in stream.pieces()]
    first, second = (number for number, line in enumerate(lines) if '"content":"' in line and '"role"' not in line)
    assert KEEP_ALIVE in lines[first:second]


def test_the_sdk_skips_keep_alives(connect: Door) -> None:
    """The SDK sees the answer and nothing else."""
    connect.guest.plan({"text": "At last.", "silent_after_headers": 1.2})
    with connect.client.chat.completions.create(model="kimi", messages=HI, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "At last."


def test_an_error_within_the_grace_time_has_its_status(door: Door) -> None:
    """Until the grace time is over the status is still open."""
    door.guest.plan({"silent_after_headers": 0.3, "faults": {"cut_after": 2}})
    with door.streamed() as stream:
        assert stream.response.status == 502
        assert 0.2 < stream.head_at < GRACE


def test_an_error_after_the_grace_time_is_in_band(door: Door) -> None:
    """Once the headers are out an error can only be told in the stream."""
    door.guest.plan({"silent_after_headers": 1.0, "faults": {"cut_after": 2}})
    with door.streamed() as stream:
        assert stream.response.status == 200
        pieces = list(stream.pieces())
    assert pieces[-1].data["error"]["code"] == "upstream_truncated"
    assert {piece.line for piece in pieces[:-1]} == {KEEP_ALIVE}


def test_a_stall_after_the_grace_time_is_in_band(connect: Door) -> None:
    """A timeout comes as an error after the keep-alives, at the limit."""
    connect.guest.plan({"faults": {"stall_headers": True}})
    with connect.streamed() as stream:
        pieces = list(stream.pieces())
    assert pieces[-1].data["error"]["code"] == "upstream_timeout"
    assert pieces[-1].at == pytest.approx(LIMIT, abs=0.7)
    assert len(pieces) > 3


def test_other_scripts_arrive_whole(door: Door) -> None:
    """Chinese, emoji and combining marks survive any cut of the network's."""
    text = '光的散射让天空呈蓝色。🌈👩\u200d🚀 e\u0301\u2028 \u00a0 нет, \U0002070e — "quotes" and \\ too\r\n'
    for seed in range(5):
        door.guest.plan({"text": text, "piece": 3, "chunk": "random", "seed": seed})
        with door.streamed() as stream:
            assert "".join(piece.content for piece in stream.pieces()) == text
    door.guest.plan({"text": text, "chunk": 1})
    assert door.whole().json()["choices"][0]["message"]["content"] == text


def test_other_scripts_reach_kimi_whole(door: Door) -> None:
    """What the client says arrives as it was said."""
    text = '光的散射 🌈👩\u200d🚀 e\u0301 \U0002070e "quotes" \\ \t end'
    assert door.whole(messages=[{"role": "user", "content": text}]).status == 200
    assert door.guest.asked_text() == text


def test_a_recorded_turn(connect: Door) -> None:
    """A live capture, cut at random, through gunicorn and the SDK: what was thought and what was said."""
    connect.guest.plan({"frames": capture("01_connect_k2d5_thinking_anybridge.jsonl"), "chunk": "random", "seed": 3})
    with connect.client.chat.completions.create(model="kimi-thinking", messages=HI, stream=True) as stream:
        deltas = [choice.delta for chunk in stream for choice in chunk.choices]
    thinking = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thinking == (
        "The user wants me to reply with ONLY the specified JSON inside a ```json code block, "
        "and nothing else at all. I should comply exactly as requested."
    )
    assert "".join(delta.content or "" for delta in deltas) == (
        '```json\n{"id":"probe_net","calls":[{"tool":"list","path":"C:/temp"}]}\n```'
    )


def test_a_long_answer(door: Door) -> None:
    """A large answer in large pieces arrives whole."""
    text = "0123456789" * 40_000
    door.guest.plan({"text": text, "piece": 9_000})
    with door.streamed() as stream:
        assert "".join(piece.content for piece in stream.pieces()) == text


WORDS: dict[str, Any] = {"text": LONG, "delay": 0.05}
HANG_UPS: dict[str, tuple[dict[str, Any], bool, float]] = {
    "between-words": (WORDS, True, 0.2),
    "between-distant-words": ({"text": LONG, "delay": 20}, True, 0.2),
    "silent-after-some-frames": ({"faults": {"stall_after": 9}}, True, 0.2),
    "silent-after-headers": ({"faults": {"stall_after": 0}}, True, 0.2),
    "before-headers": ({"faults": {"stall_headers": True}}, True, 0.2),
    "past-the-grace-time": ({"faults": {"stall_headers": True}}, True, 0.8),
    "whole-between-words": (WORDS, False, 0.2),
    "whole-silent": ({"faults": {"stall_after": 9}}, False, 0.2),
    "whole-before-headers": ({"faults": {"stall_headers": True}}, False, 0.2),
}
"""What Kimi does, whether the client asked for a stream, and how long after Kimi was asked it leaves."""


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux tells of a close behind unread bytes")
@pytest.mark.parametrize("ahead", [b"\r\n", b"GET /ping HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["line-end", "request"])
def test_a_hang_up_behind_what_was_sent_ahead(connect: Door, ahead: bytes) -> None:
    """A client that has sent more than its request, and then leaves, has left as any other."""
    connect.guest.plan({"faults": {"stall_after": 9}})
    with connect.streamed(stream=False) as stream:
        assert until(lambda: bool(connect.guest.completions()))
        stream.send_ahead(ahead)
        assert leave(connect, stream, after=0.2) < 1.0


def leave(door: Door, stream: RawStream, *, after: float) -> float:
    """Hang up some time after Kimi was asked; give the seconds until Kimi's side was closed."""
    assert until(lambda: bool(door.guest.completions()))
    time.sleep(after)
    left_at = stream.hang_up()
    assert until(lambda: door.guest.completions()[0]["client_closed"])
    (entry,) = door.guest.completions()
    assert not entry["finished"]
    return entry["at"] + entry["seconds"] - left_at


@pytest.mark.parametrize(
    ("door", "name"),
    [
        *(("connect", name) for name in HANG_UPS),
        *(("rest", name) for name in ("between-words", "silent-after-headers", "whole-before-headers")),
    ],
    indirect=["door"],
)
def test_a_hang_up_closes_the_upstream(door: Door, name: str) -> None:
    """Kimi's side is closed within a second of the client's leaving, whatever it was doing."""
    plan, streamed, after = HANG_UPS[name]
    door.guest.plan(plan)
    with door.streamed(stream=streamed) as stream:
        assert leave(door, stream, after=after) < 1.0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("plan", [WORDS, {"text": "ab", "piece": 1, "delay": 20}])
def test_a_hang_up_stops_and_deletes(connect: Door, plan: dict[str, Any], stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Generation is cancelled and the conversation deleted, in this order, once each."""
    connect.guest.plan(plan)
    with connect.streamed(stream=stream) as answer:
        assert leave(connect, answer, after=0.3) < 1.0
    assert connect.guest.all_deleted()
    calls = [entry["path"].rpartition("/")[2] for entry in connect.guest.calls()]
    assert calls[-2:] == ["CancelChat", "DeleteChat"]
    assert calls.count("CancelChat") == 1
    assert [chat["cancelled"] for chat in connect.guest.chats()] == [True]


def test_a_hang_up_deletes_on_the_legacy_site(rest: Door) -> None:
    """The legacy conversation is deleted too, also where the answer had not begun."""
    rest.guest.plan({"faults": {"stall_headers": True}})
    with rest.streamed() as answer:
        leave(rest, answer, after=0.2)
    assert rest.guest.all_deleted()


def test_a_hang_up_just_before_the_chat_is_known(connect: Door) -> None:
    """A client that leaves a moment before Kimi tells the chat's id leaves no chat behind."""
    connect.guest.plan({"text": LONG, "delay": 0.05, "first_delay": 0.5})
    with connect.streamed() as answer:
        assert leave(connect, answer, after=0.1) < 1.0
    assert connect.guest.all_deleted()


def test_a_stop_lets_answers_end(kimi: EmulatorControl, guest: Guest) -> None:
    """On SIGTERM a running answer goes on to its end, and its conversation is deleted."""
    guest.plan({"text": "0123456789", "piece": 1, "delay": 0.15})
    with running(kimi.base_url, workers=1, **ALONE) as gateway:
        with gateway.chat_stream(guest.access_token) as stream:
            assert stream.response.status == 200
            gateway.server.process.send_signal(signal.SIGTERM)
            pieces = list(stream.pieces())
        assert "".join(piece.content for piece in pieces) == "0123456789"
        assert pieces[-1].line == "data: [DONE]"
        assert gateway.server.process.wait(10) == 0
    assert [chat["deleted"] for chat in guest.chats()] == [True]


def test_a_reader_that_stays_is_not_taken_for_gone(connect: Door) -> None:
    """A client that has sent all it has to say, and only listens, gets the whole answer."""
    connect.guest.plan({"text": "word " * 10, "piece": 5, "delay": 0.05})
    with connect.streamed() as stream:
        pieces = list(stream.pieces())
    assert pieces[-1].line == "data: [DONE]"
    assert not connect.guest.completions()[0]["client_closed"]
