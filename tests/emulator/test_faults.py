"""Each fault of the Connect stream, shown from outside."""

import gzip
import json
import time
from typing import Any

import pytest

from emulator.client import EmulatorControl
from tests.emulator.raw import CHAT, STREAM, Answered, Raw, answer_text, frame, question, split

pytestmark = pytest.mark.e2e

OVERLOADED = "REASON_SERVER_OVERLOADED_FOR_FREE_USER"
LONG = {"text": "abcdefgh", "piece": 1}
OPENING = 7
"""Frames before the first word of an instant turn in a new chat."""


def asked(control: EmulatorControl, raw: Raw, faults: dict[str, Any], **answer: object) -> Answered:
    """Plan one fault on top of a short answer, and ask."""
    control.plan({**LONG, **answer, "faults": faults})
    return raw.ask()


def masks(answered: Answered) -> list[str | None]:
    """Name the events by their masks."""
    return [event.get("mask") for _, event in answered.frames]


def test_overload_is_refused_at_the_door(control: EmulatorControl, raw: Raw) -> None:
    """A heartbeat and the trailer of captures/05; no chat was opened."""
    beat, trailer = asked(control, raw, {"overload_trailer": True}).frames
    assert beat == (0, {"heartbeat": {}})
    assert trailer[0] == 2
    assert trailer[1]["error"]["code"] == "resource_exhausted"
    assert trailer[1]["error"]["details"][0]["debug"]["reason"] == OVERLOADED
    assert control.chats() == []


@pytest.mark.parametrize(("after", "text"), [(0, ""), (3, "abc"), (True, "abcdefgh")])
def test_an_error_trailer_comes_after_so_much_text(
    control: EmulatorControl, raw: Raw, after: object, text: str
) -> None:
    """With the code, reason, message and paywall that were ordered."""
    spec = {"code": "permission_denied", "reason": "R", "message": "M", "paywall": True}
    answered = asked(control, raw, {"error_trailer": {**spec, "after_text": after}})
    assert answer_text(answered.frames) == text
    assert "message.status" not in masks(answered)
    assert answered.frames[-1] == (
        2,
        {
            "error": {
                "code": "permission_denied",
                "message": "M",
                "details": [
                    {
                        "debug": {
                            "reason": "R",
                            "localizedMessage": {"locale": "en-US", "message": "M"},
                            "paywall": {},
                        }
                    }
                ],
            }
        },
    )


def test_an_error_frame_is_a_data_frame(control: EmulatorControl, raw: Raw) -> None:
    """The same object, but flags 0, and the stream still ends well."""
    answered = asked(control, raw, {"error_frame": {"code": "unavailable", "after_text": 2}})
    (flags, event), end = answered.frames[-2:]
    assert (flags, event["error"]["code"], end) == (0, "unavailable", (2, {}))
    assert answer_text(answered.frames) == "ab"


def test_an_exception_takes_the_text_block_back(control: EmulatorControl, raw: Raw) -> None:
    """Its block is the one of the text; the trailer is empty."""
    answered = asked(control, raw, {"exception_block": {"severity": "S", "after_text": 2}})
    (event,) = [event for _, event in answered.frames if event.get("mask") == "block.exception"]
    (text,) = [event for _, event in answered.frames if event.get("mask") == "block.text"]
    assert event["block"]["id"] == text["block"]["id"]
    error = event["block"]["exception"]["error"]
    assert (error["reason"], error["severity"]) == ("REASON_COMPLETION_OVERLOADED", "S")
    assert answered.frames[-1] == (2, {})


def test_a_degrade_notice_is_only_information(control: EmulatorControl, raw: Raw) -> None:
    """Just before the status, as in captures/01."""
    answered = asked(control, raw, {"degrade_notice": True})
    notice, status = answered.frames[-4][1], answered.frames[-3][1]
    assert notice["notification"]["type"] == "TYPE_MODEL_DEGRADE"
    assert status["mask"] == "message.status"
    assert answer_text(answered.frames) == "abcdefgh"


def test_the_trailer_can_be_missing(control: EmulatorControl, raw: Raw) -> None:
    """The HTTP body is complete all the same; done is the last frame."""
    answered = asked(control, raw, {"no_trailer": True})
    assert answered.whole
    assert "done" in answered.frames[-1][1]


def test_an_error_after_done(control: EmulatorControl, raw: Raw) -> None:
    """Everything went well, and then the trailer says otherwise."""
    done, end = asked(control, raw, {"error_after_done": {"code": "internal"}}).frames[-2:]
    assert "done" in done[1]
    assert (end[0], end[1]["error"]["code"]) == (2, "internal")


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("count", [0, 3, OPENING + 2])
def test_a_cut_after_so_many_frames(control: EmulatorControl, raw: Raw, how: str, count: int) -> None:
    """The frames before it arrive, the body never ends; the client did not do it."""
    answered = asked(control, raw, {"cut_after": count, "cut": how})
    assert not answered.whole
    assert len(answered.frames) == count or how == "rst"  # a reset may overtake what was sent
    (entry,) = control.wait_for_log(lambda entries: entries[0]["seconds"] > 0)
    assert (entry["finished"], entry["client_closed"], entry["frames_sent"]) == (False, False, count)


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_a_cut_before_the_headers(control: EmulatorControl, raw: Raw, how: str) -> None:
    """The request was read, and nothing came back."""
    with pytest.raises(ConnectionError):
        asked(control, raw, {"cut_after": -1, "cut": how})
    (entry,) = control.log()
    assert entry["status"] is None


def test_a_frame_may_claim_compression(control: EmulatorControl, raw: Raw) -> None:
    """One frame has bit 0, although no encoding was declared."""
    answered = asked(control, raw, {"compressed_bit": True})
    flagged = [payload for flags, payload in split(answered.body) if flags & 1]
    assert json.loads(gzip.decompress(flagged[0]))["mask"] == "block.text"
    assert len(flagged) == 1
    assert "connect-content-encoding" not in answered.headers


def test_gzip_is_declared_and_used(control: EmulatorControl, raw: Raw) -> None:
    """Every frame, the end-stream frame too: flags must be tested by bit."""
    answered = asked(control, raw, {"compressed_gzip": True})
    assert answered.headers["connect-content-encoding"] == "gzip"
    found = [(flags, json.loads(gzip.decompress(data))) for flags, data in split(answered.body)]
    assert {flags for flags, _ in found[:-1]} == {1}
    assert found[-1] == (3, {})
    assert answer_text(found) == "abcdefgh"


@pytest.mark.parametrize(
    ("fault", "mask"),
    [
        ("unknown_mask", "block.text.hologram"),
        ("unknown_op", "block.text.content"),
        ("unknown_block", "block.hologram"),
    ],
)
def test_unknown_things_are_strewn_in(control: EmulatorControl, raw: Raw, fault: str, mask: str) -> None:
    """They carry a text that nobody may show."""
    answered = asked(control, raw, {fault: True})
    strange = [event for _, event in answered.frames if "must not be shown" in json.dumps(event)]
    assert strange[0]["mask"] == mask
    assert (strange[0]["op"] == "merge") == (fault == "unknown_op")
    assert answer_text(answered.frames) == "abcdefgh"


def test_heartbeats_fill_a_silence(control: EmulatorControl, raw: Raw) -> None:
    """Also the one after the headers."""
    answered = asked(control, raw, {"heartbeat_every": 0.05}, silent_after_headers=0.23)
    assert [event for _, event in answered.frames[:5]] == [{"heartbeat": {}}] * 5
    assert answer_text(answered.frames) == "abcdefgh"


def test_heartbeats_go_on_in_a_stall(control: EmulatorControl, raw: Raw) -> None:
    """Signs of life, but never a word."""
    control.plan({"faults": {"stall_after": 3, "heartbeat_every": 0.03}})
    with raw.streaming() as response:
        received, until = b"", time.monotonic() + 0.3
        while time.monotonic() < until:
            received += response.read1(4096)
    beats = [data for _, data in split(received) if b"heartbeat" in data]
    assert len(beats) >= 6


def test_a_stall_lasts_until_the_client_leaves(control: EmulatorControl, raw: Raw) -> None:
    """And its leaving is noticed within 0.2 s although nothing is being sent."""
    control.plan({"faults": {"stall_after": 3}})
    with raw.streaming() as response:
        response.read1(1)
        time.sleep(0.1)
        assert not control.log()[0]["finished"]
        assert control.log()[0]["frames_sent"] == 3
    (entry,) = control.wait_for_log(lambda entries: entries[0]["client_closed"], timeout=0.2)
    assert not entry["finished"]


def test_stalled_headers(control: EmulatorControl, raw: Raw) -> None:
    """Not even a status comes; leaving is noticed here too."""
    control.plan({"faults": {"stall_headers": True}})
    with raw.open("POST", CHAT, frame(question()), STREAM) as connection:
        connection.sock.settimeout(0.15)
        with pytest.raises(TimeoutError):
            connection.getresponse()
        assert control.log()[0]["status"] is None
    control.wait_for_log(lambda entries: entries[0]["client_closed"], timeout=0.2)


def test_an_empty_answer(control: EmulatorControl, raw: Raw) -> None:
    """Heartbeats and COMPLETED, and not a word."""
    answered = asked(control, raw, {"empty": True}, thinking="t")
    assert masks(answered)[-3:] == ["message.status", None, None]
    assert not [event for _, event in answered.frames if "block" in event]


def test_an_oversize_frame(control: EmulatorControl, raw: Raw) -> None:
    """A well-formed frame, only too big."""
    answered = asked(control, raw, {"oversize_frame": 3_000_000})
    assert max(len(data) for _, data in split(answered.body)) > 3_000_000
    assert answered.frames[-1] == (2, {})


def test_html_instead_of_frames(control: EmulatorControl, raw: Raw) -> None:
    """A page under HTTP 200, or under the status that was ordered."""
    page = asked(control, raw, {"html": True})
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=UTF-8")
    assert page.body.startswith(b"<!DOCTYPE html>")
    assert asked(control, raw, {"html": True}, status=403).status == 403


def test_json_instead_of_frames(control: EmulatorControl, raw: Raw) -> None:
    """A unary error where a stream was expected."""
    answered = asked(control, raw, {"json_error": {"status": 200, "body": {"code": "internal"}}})
    assert (answered.status, answered.json) == (200, {"code": "internal"})
    assert answered.headers["content-type"] == "application/json"


def test_a_drip_sends_byte_by_byte(control: EmulatorControl, raw: Raw) -> None:
    """So no single read times out, however long the whole takes."""
    control.plan({"text": "a", "faults": {"drip": 0.005}})
    sizes: list[int] = []
    began = time.monotonic()
    with raw.streaming() as response:
        while len(sizes) < 60:
            sizes.append(len(response.read1(4096)))
    assert max(sizes) <= 3
    assert time.monotonic() - began >= 0.2


def test_stream_pushing_is_resource_exhausted_here(control: EmulatorControl, raw: Raw) -> None:
    """The same refusal as on the legacy site, in Connect's words."""
    trailer = asked(control, raw, {"stream_pushing": True}).frames[-1]
    assert trailer[1]["error"]["code"] == "resource_exhausted"


def test_another_status_value(control: EmulatorControl, raw: Raw) -> None:
    """For values that nobody has seen yet."""
    answered = asked(control, raw, {"status_value": "MESSAGE_STATUS_X"})
    assert answered.frames[-3][1]["message"]["status"] == "MESSAGE_STATUS_X"


def test_a_question_to_the_user(control: EmulatorControl, raw: Raw) -> None:
    """A tool whose args hold the questions, and a chat that waits."""
    answered = asked(control, raw, {"ask_user": True})
    calls = [event["block"]["tool"] for _, event in answered.frames if "tool" in event.get("block", {})]
    assert calls[0]["name"] == "ask_user"
    assert json.loads(calls[-1]["args"])["questions"][0]["type"] == "single"
    assert answered.frames[-4][1]["chat"]["status"] == "STATUS_ASK_USER_QUESTION"


def test_a_native_tool(control: EmulatorControl, raw: Raw) -> None:
    """The ipython call of captures/03, in its order."""
    answered = asked(control, raw, {"native_tool": True})
    calls = [event["block"]["tool"] for _, event in answered.frames if "tool" in event.get("block", {})]
    assert calls[0] == {"toolCallId": "ipython_0", "name": "ipython", "status": "STATUS_PENDING"}
    assert "".join(call["args"] for call in calls[1:-2]) == calls[-2]["args"]
    assert calls[-2]["toolCallId"] == "ipython:1"
    assert calls[-1] == {"contents": [{"text": "391"}], "status": "STATUS_DONE"}
