"""Failures after the first word: told in the stream, and nothing after them that looks like success."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import APIError, APIStatusError
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.conftest import NewGuest
from tests.e2e.support import Door, Gateway, Guest, Piece, entered

pytestmark = pytest.mark.e2e

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]
TEXT = "The sky is blue because light is scattered."
BUSY = "upstream_busy"
TRUNCATED = "upstream_truncated"
PROTOCOL = "upstream_protocol_error"


def after(characters: int, code: str, reason: str = "") -> dict[str, object]:
    """An error after so many characters of text."""
    return {"code": code, "reason": reason, "after_text": characters}


CONNECT: list[tuple[dict[str, Any], int, str]] = [
    ({"error_trailer": after(8, "resource_exhausted")}, 429, "rate_limit_exceeded"),
    ({"error_trailer": after(8, "resource_exhausted", "REASON_SERVER_OVERLOADED_FOR_FREE_USER")}, 429, BUSY),
    ({"error_trailer": after(8, "unauthenticated")}, 401, "token_expired"),
    ({"error_trailer": after(8, "internal")}, 503, "upstream_unavailable"),
    ({"error_frame": after(8, "unavailable")}, 503, "upstream_unavailable"),
    ({"exception_block": after(8, "", "REASON_COMPLETION_OVERLOADED")}, 429, BUSY),
    ({"exception_block": after(8, "", "REASON_SENSITIVE_CONTENT")}, 400, "content_filtered"),
    ({"error_after_done": True}, 503, "upstream_unavailable"),
    ({"cut_after": 12}, 502, TRUNCATED),
    ({"cut_after": 12, "cut": "rst"}, 502, TRUNCATED),
    ({"status_value": "MESSAGE_STATUS_CANCELLED"}, 502, TRUNCATED),
    ({"oversize_frame": 17 * 1024 * 1024}, 502, PROTOCOL),
]
LEGACY: list[tuple[dict[str, Any], int, str]] = [
    ({"legacy_error": {"error_type": "openai.completion.stream", "after_text": 8}}, 429, BUSY),
    ({"legacy_error": {"error_type": "auth.token.invalid", "after_text": 8}}, 401, "token_expired"),
    ({"cut_after": 6}, 502, TRUNCATED),
    ({"cut_after": 6, "cut": "rst"}, 502, TRUNCATED),
    ({"oversize_frame": 17 * 1024 * 1024}, 502, PROTOCOL),
]


def _ids(cases: list[tuple[dict[str, Any], int, str]]) -> list[str]:
    return ["-".join([*faults, code]) for faults, _, code in cases]


def check_stream(pieces: list[Piece], code: str) -> None:
    """Look at a raw stream that failed in its middle."""
    error = pieces[-1].data["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    chunks = [piece.data for piece in pieces[:-1] if piece.line.startswith("data: ")]
    assert [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]] == []
    assert not any("[DONE]" in piece.line for piece in pieces)


def failing(new_guest: NewGuest, faults: dict[str, Any]) -> Guest:
    """Make an account whose answers fail: one for each request, because it may be left alone after the first."""
    guest = new_guest()
    guest.plan({"text": TEXT, "faults": faults}, repeat=True)
    return guest


def check_raw(door: Door, code: str) -> None:
    """Look at the stream itself."""
    with door.streamed() as stream:
        assert stream.response.status == 200
        pieces = list(stream.pieces())
    check_stream(pieces, code)
    said = "".join(piece.content for piece in pieces[:-1])
    assert said
    assert (TEXT + "xxx").startswith(said[: len(TEXT)])


def check_streamed(door: Door, code: str) -> None:
    """See the stream as the SDK does."""
    with (
        pytest.raises(APIError) as told,
        door.client.chat.completions.create(model="kimi", messages=HI, stream=True) as answer,
    ):
        list(answer)
    assert told.value.code == code
    assert not isinstance(told.value, APIStatusError)  # it has no status: that was 200


def check_whole(door: Door, status: int, code: str) -> None:
    """See the answer that is no stream."""
    with pytest.raises(APIStatusError) as refused:
        door.client.chat.completions.create(model="kimi", messages=HI)
    assert (refused.value.status_code, refused.value.code) == (status, code)


def check(gateway: Gateway, guests: list[Guest], tokens: list[str], status: int, code: str) -> None:
    """Meet one fault raw, through the SDK and whole; each time with one completion and nothing left of it."""
    checks: list[Callable[[Door], None]] = [
        lambda door: check_raw(door, code),
        lambda door: check_streamed(door, code),
        lambda door: check_whole(door, status, code),
    ]
    for guest, token, look in zip(guests, tokens, checks, strict=True):
        with entered(gateway, guest, token) as door:
            look(door)
        assert len(guest.completions()) == 1
        assert guest.all_deleted()


@pytest.mark.parametrize(("faults", "status", "code"), CONNECT, ids=_ids(CONNECT))
def test_the_connect_site_fails_in_the_middle(
    connect_gateway: Gateway, new_guest: NewGuest, faults: dict[str, Any], status: int, code: str
) -> None:
    """A stream that has begun ends with an in-band error; a whole answer has the true status."""
    guests = [failing(new_guest, faults) for _ in range(3)]
    check(connect_gateway, guests, [guest.access_token for guest in guests], status, code)


@pytest.mark.parametrize(("faults", "status", "code"), LEGACY, ids=_ids(LEGACY))
def test_the_legacy_site_fails_in_the_middle(
    rest_gateway: Gateway, new_guest: NewGuest, faults: dict[str, Any], status: int, code: str
) -> None:
    """The same over the legacy protocol."""
    guests = [failing(new_guest, faults) for _ in range(3)]
    check(rest_gateway, guests, [guest.legacy_token for guest in guests], status, code)


def test_a_legacy_stream_without_its_end_mark(rest: Door) -> None:
    """Without done and all_done the legacy answer is not whole, however cleanly the connection closes."""
    lines = ['data: {"event":"cmpl","text":"The sky"}', "", 'data: {"event":"cmpl","text":" is"}', ""]
    rest.guest.plan({"lines": lines})
    with rest.streamed() as stream:
        check_stream(list(stream.pieces()), TRUNCATED)


def test_every_cut_is_flagged(connect: Door) -> None:
    """Wherever the stream is cut before its end, the client hears of it."""
    frames = 14  # before COMPLETED: 8 of the opening, the text in five pieces, the title
    connect.guest.plan(*({"text": "Twenty characters ab", "faults": {"cut_after": count}} for count in range(frames)))
    for _ in range(frames):
        reply = connect.whole(stream=True)
        assert b"upstream_truncated" in reply.body
        assert b"[DONE]" not in reply.body


def test_a_stall_in_the_middle(hasty: Door) -> None:
    """Silence after the first words ends the stream with an error at its limit, and not sooner."""
    hasty.guest.plan({"text": TEXT, "faults": {"stall_after": 12}})
    with hasty.streamed() as stream:
        pieces = list(stream.pieces())
    check_stream(pieces, "upstream_timeout")
    assert "stopped sending" in pieces[-1].data["error"]["message"]  # not: took too long, which is told later
    assert pieces[-1].at > 0.5


def test_an_error_is_one_event(connect: Door) -> None:
    """The error is a data line of its own, complete JSON."""
    connect.guest.plan({"text": TEXT, "faults": {"error_frame": after(8, "unavailable")}})
    reply = connect.whole(stream=True)
    *_, last, nothing = reply.body.decode().split("\n\n")
    assert nothing == ""
    assert list(json.loads(last.removeprefix("data: "))) == ["error"]
