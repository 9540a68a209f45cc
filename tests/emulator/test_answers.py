"""Each field of an ANSWER, shown from outside."""

import base64
import http.client
import json
import time

import pytest

from emulator.client import ControlError, EmulatorControl
from tests.emulator.raw import CHAT, STREAM, Raw, answer_text, frame, frames, question

pytestmark = pytest.mark.e2e

OPENER, CLOSER = "\ue3a0", "\ue3a8"
SEARCH = [
    {"title": "A", "url": "https://example.com/a", "siteName": "S", "snippet": "a"},
    {"title": "B", "url": "https://example.com/b", "siteName": "S", "snippet": "b"},
]


def pieces(raw: Raw) -> list[str]:
    """Give the text deltas of one answer."""
    blocks = [event.get("block", {}) for _, event in raw.ask().frames]
    return [block["text"]["content"] for block in blocks if "text" in block]


def test_text_and_thinking(control: EmulatorControl, raw: Raw) -> None:
    """Both arrive whole, the thought inside its stage."""
    control.plan({"text": "Grüße 👋", "thinking": "hm, so", "piece": 1})
    events = raw.ask().frames
    assert answer_text(events) == "Grüße 👋"
    blocks = [event.get("block", {}) for _, event in events]
    thoughts = [block for block in blocks if "think" in block]
    assert "".join(block["think"]["content"] for block in thoughts) == "hm, so"
    assert {block["parentId"] for block in thoughts} == {"2"}


@pytest.mark.parametrize(
    ("piece", "expected"),
    [(4, ["one ", "two ", "thre", "e"]), (0, ["one", " two", " three"]), (99, ["one two three"])],
)
def test_piece_cuts_the_text(control: EmulatorControl, raw: Raw, piece: int, expected: list[str]) -> None:
    """By characters, or by words for 0."""
    control.plan({"text": "one two three", "piece": piece})
    assert pieces(raw) == expected


def test_delay_stands_between_frames(control: EmulatorControl, raw: Raw) -> None:
    """Three pieces and so three waits."""
    control.plan({"text": "abc", "piece": 1, "delay": 0.05})
    began = time.monotonic()
    raw.ask()
    assert 0.15 <= time.monotonic() - began < 5


def test_first_delay_holds_the_headers_back(control: EmulatorControl, raw: Raw) -> None:
    """Nothing at all comes before."""
    control.plan({"text": "a", "first_delay": 0.15})
    began = time.monotonic()
    with raw.streaming():
        assert time.monotonic() - began >= 0.15


def test_silence_after_headers(control: EmulatorControl, raw: Raw) -> None:
    """The headers come at once, the first frame later."""
    control.plan({"text": "a", "silent_after_headers": 0.3})
    began = time.monotonic()
    with raw.streaming() as response:
        headers_at = time.monotonic() - began
        response.read1(1)
        assert time.monotonic() - began - headers_at > 0.2


@pytest.mark.parametrize(("cite", "separator"), [("e3a3", "\ue3a3"), ("1f6e0", "\U0001f6e0")])
def test_cite_chooses_the_alphabet(control: EmulatorControl, raw: Raw, cite: str, separator: str) -> None:
    """The record of both sources goes out just before the one delta that holds the marker."""
    control.plan({"text": "see {{cite:0,1}}.", "search": SEARCH, "cite": cite})
    events = [event for _, event in raw.ask().frames]
    refs = ("web_search:1#0", "web_search:1#1")
    marker = OPENER + separator.join(("cite", *refs)) + CLOSER
    at = next(i for i, event in enumerate(events) if event.get("mask") == "message.references")
    (record,) = events[at]["message"]["references"]
    assert (record["matchedText"], record["type"]) == (marker, "TYPE_CITE")
    assert [item["search"]["refIndex"] for item in record["items"]] == list(refs)
    assert events[at + 1]["block"]["text"]["content"] == marker


def test_split_cite_spreads_the_marker(control: EmulatorControl, raw: Raw) -> None:
    """One character at a time, opener first."""
    control.plan({"text": "x{{cite:0}}", "search": SEARCH, "split_cite": True})
    _, *marker = pieces(raw)
    assert all(len(piece) == 1 for piece in marker)
    assert "".join(marker) == f"{OPENER}cite\U0001f6e0web_search:1#0{CLOSER}"


def test_frames_are_sent_verbatim(control: EmulatorControl, raw: Raw) -> None:
    """With pauses, raw bytes and trailers where the plan says so, and nothing added."""
    event = {"op": "set", "mask": "block.text", "block": {"text": {"content": "v"}}}
    raw_frame = base64.b64encode(frame({"raw": 1})).decode()
    plan = [event, {"_sleep": 0.1}, {"_raw": raw_frame}, {"_frame_flags": 2, "_payload": {"a": 1}}]
    control.plan({"frames": plan})
    began = time.monotonic()
    assert raw.ask().frames == [(0, event), (0, {"raw": 1}), (2, {"a": 1})]
    assert time.monotonic() - began >= 0.1


def test_a_replayed_chat_can_be_continued(control: EmulatorControl, raw: Raw) -> None:
    """The ids inside the frames are adopted."""
    chat, message = "0" * 36, "1" * 36
    control.plan(
        {
            "frames": [
                {"op": "set", "chat": {"id": chat}},
                {"op": "set", "mask": "message", "message": {"id": message, "role": "assistant"}},
                {"op": "set", "mask": "block.text", "block": {"id": "1", "text": {"content": "t"}}},
            ]
        }
    )
    raw.ask()
    assert raw.ask(chat_id=chat, parent_id=message).frames[-1] == (2, {})
    assert control.chats()[0]["messages"][2]["text"] == "t"


def test_lines_are_sent_verbatim(control: EmulatorControl, raw: Raw) -> None:
    """Each with a line feed; what they mean is the test's own affair."""
    chat = raw.legacy("POST", "/api/chat", name="n").json["id"]
    control.plan({"lines": [": hello", "data: broken", ""]})
    answered = raw.legacy("POST", f"/api/chat/{chat}/completion/stream", messages=[{"role": "user", "content": "q"}])
    assert answered.body == b": hello\ndata: broken\n\n"


PLAIN = {"status": 429, "headers": {"Retry-After": "7"}, "body": {"code": "resource_exhausted"}}


def test_a_plain_answer(control: EmulatorControl, raw: Raw) -> None:
    """Status, headers, body and type as ordered."""
    control.plan(
        PLAIN,
        {"status": 520, "body": "no name", "content_type": "text/plain"},
        {"status": 502},
    )
    first, second, third = raw.ask(), raw.ask(), raw.ask()
    assert (first.status, first.json) == (429, {"code": "resource_exhausted"})
    assert first.headers["retry-after"] == "7"
    assert first.headers["content-type"] == "application/json"
    assert (second.status, second.body, second.headers["content-type"]) == (520, b"no name", "text/plain")
    assert (third.status, third.body) == (502, b"")
    assert control.chats() == []


def test_a_plain_answer_of_the_legacy_site(control: EmulatorControl, raw: Raw) -> None:
    """It takes the same fields."""
    chat = raw.legacy("POST", "/api/chat", name="n").json["id"]
    control.plan(PLAIN)
    answered = raw.legacy("POST", f"/api/chat/{chat}/completion/stream", messages=[{"role": "user", "content": "q"}])
    assert (answered.status, answered.json) == (429, {"code": "resource_exhausted"})
    assert answered.headers["retry-after"] == "7"
    assert answered.headers["content-type"] == "application/json"


def test_headers_can_be_added_to_a_stream(control: EmulatorControl, raw: Raw) -> None:
    """Without a status the answer stays a stream."""
    control.plan({"text": "a", "headers": {"x-extra": "1"}})
    answered = raw.ask()
    assert answered.headers["x-extra"] == "1"
    assert answered.frames[-1] == (2, {})


def chunks(raw: Raw) -> list[bytes]:
    """Give the HTTP chunks of one answer, which the client library would hide."""
    with raw.open("POST", CHAT, frame(question()), {**STREAM, "connection": "close"}) as connection:
        sock = connection.sock
        received = b""
        while piece := sock.recv(65536):
            received += piece
    _, _, rest = received.partition(b"\r\n\r\n")
    found = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        found.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return found[:-1]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_chunk_cuts_the_bytes_anew(control: EmulatorControl, raw: Raw, size: int) -> None:
    """Inside heads and inside characters; the last chunk is what is left."""
    control.plan({"text": "äöü 👋", "chunk": size})
    *most, last = chunks(raw)
    assert {len(chunk) for chunk in most} <= {size}
    assert answer_text(frames(b"".join([*most, last]))) == "äöü 👋"


def test_random_chunks_repeat_with_their_seed(control: EmulatorControl, raw: Raw) -> None:
    """So that a failure can be played again."""
    planned = {"text": "hello", "chunk": "random"}
    control.plan({**planned, "seed": 1}, {**planned, "seed": 1}, {**planned, "seed": 2})
    first, again, other = ([len(chunk) for chunk in chunks(raw)] for _ in range(3))
    assert len(set(first)) > 3
    assert first[:20] == again[:20] != other[:20]


def test_answers_come_one_by_one_and_then_the_default(control: EmulatorControl, raw: Raw) -> None:
    """Used up means used up."""
    control.plan({"text": "1"}, {"text": "2"})
    texts = [answer_text(raw.ask().frames) for _ in range(3)]
    assert texts[:2] == ["1", "2"]
    assert "emulator" in texts[2]


def test_repeat_goes_round(control: EmulatorControl, raw: Raw) -> None:
    """The first answer comes again after the last."""
    control.plan({"text": "1"}, {"text": "2"}, repeat=True)
    assert [answer_text(raw.ask().frames) for _ in range(3)] == ["1", "2", "1"]


def test_an_accounts_own_plan_comes_first(control: EmulatorControl, raw: Raw) -> None:
    """The plan for all is not touched by it, and nobody else gets it."""
    ben = Raw(control, control.account("ben").access_token)
    control.plan({"text": "any"}, {"text": "any"})
    control.plan({"text": "ann's"}, account="ann")
    assert answer_text(ben.ask().frames) == "any"
    assert [answer_text(raw.ask().frames) for _ in range(2)] == ["ann's", "any"]


def test_a_refused_request_uses_up_no_answer(control: EmulatorControl, raw: Raw) -> None:
    """Only a completion that is let in consumes its answer."""
    control.plan({"text": "kept"})
    raw.ask(chat_id="unknown")
    assert answer_text(raw.ask().frames) == "kept"


@pytest.mark.parametrize(
    "answer",
    [
        {"txt": "a"},
        {"faults": {"stal_after": 1}},
        {"faults": {"cut": "pow"}},
        {"faults": {"error_trailer": {"kode": "x"}}},
        {"delay": "long"},
        {"cite": "0000"},
        {"frames": "x"},
        {"search": [1]},
    ],
    ids=json.dumps,
)
def test_a_mistake_in_a_plan_is_refused(control: EmulatorControl, answer: dict[str, object]) -> None:
    """A fault that is never played would let its test pass."""
    with pytest.raises(ControlError):
        control.plan(answer)


def test_the_connection_is_kept_alive(control: EmulatorControl, raw: Raw) -> None:
    """Two answers on one connection, the second after a complete stream."""
    control.plan({"text": "1"}, {"text": "2"})
    connection = http.client.HTTPConnection(raw.host, timeout=5)
    headers = {**STREAM, "authorization": f"Bearer {raw.token}"}
    texts = []
    for _ in range(2):
        connection.request("POST", CHAT, frame(question()), headers)
        texts.append(answer_text(frames(connection.getresponse().read())))
    connection.close()
    assert texts == ["1", "2"]
