"""What the control plane orders for uploads, and what it tells of them."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from emulator.client import ControlError, EmulatorControl
from tests.emulator.raw import UPLOAD, Answered, Raw, answer_text, form, part

pytestmark = pytest.mark.e2e


def put(raw: Raw, name: str = "a.pdf", content_type: str = "application/pdf") -> tuple[Answered, Any]:
    """Upload to the legacy site, up to the PUT; give its answer and the permission."""
    granted = raw.pre_sign(name).json
    return raw.put(granted["url"], b"x", content_type), granted


def states(raw: Raw, file_id: str, count: int) -> list[str]:
    """Ask so often about the parsing."""
    return [raw.progress(file_id).json["progresses"][0]["status"].rpartition("_")[2] for _ in range(count)]


def lines(raw: Raw, file_id: str) -> list[str]:
    """Read the parsing of a legacy file once."""
    return [event["status"] for event in raw.legacy("POST", "/api/file/parse_process", ids=[file_id]).events]


def test_the_parsing_takes_as_many_polls_as_ordered(control: EmulatorControl, raw: Raw) -> None:
    """An order counts for the files that are uploaded under it, also for none."""
    control.uploads(polls=3)
    slow = raw.upload(b"x").json["file"]["id"]
    control.uploads(polls=0)
    fast = raw.upload(b"x").json["file"]["id"]
    assert states(raw, slow, 5) == ["PROCESSING"] * 3 + ["SUCCESS"] * 2
    assert control.files()[1]["status"] == "parsed"
    assert states(raw, fast, 1) == ["SUCCESS"]


def test_the_legacy_parsing_takes_as_many_lines(control: EmulatorControl, raw: Raw) -> None:
    """In one answer, or in several when the lines of one are limited."""
    control.uploads(polls=3)
    first, second = (raw.register(put(raw)[1]).json["id"] for _ in range(2))
    assert lines(raw, first) == ["parsing"] * 3 + ["parsed"]
    assert lines(raw, first) == ["parsed"]
    control.uploads(parsing_lines=2)
    assert [lines(raw, second) for _ in range(3)] == [["parsing"] * 2, ["parsing", "parsed"], ["parsed"]]


def test_a_parsing_fails_with_its_reason(control: EmulatorControl, raw: Raw) -> None:
    """On both sites, so many times."""
    control.uploads(fail="the file is locked", times=2, polls=0)
    first = raw.upload(b"x").json["file"]["id"]
    second = raw.register(put(raw)[1]).json["id"]
    third = raw.upload(b"x").json["file"]["id"]
    (progress,) = raw.progress(first).json["progresses"]
    assert progress == {"fileId": first, "status": "PROCESS_STATUS_FAILED", "failedReason": "the file is locked"}
    (event,) = raw.legacy("POST", "/api/file/parse_process", ids=[second]).events
    assert event["file_info"]["failed_reason"] == "the file is locked"
    assert states(raw, third, 1) == ["SUCCESS"]
    assert [file["status"] for file in control.files()] == ["failed", "failed", "parsed"]


def test_a_parsing_may_fail_without_a_reason(control: EmulatorControl, raw: Raw) -> None:
    """Then the guessed field is not there."""
    control.uploads(fail="")
    file_id = raw.upload(b"x").json["file"]["id"]
    assert states(raw, file_id, 1) == ["PROCESSING"]
    assert raw.progress(file_id).json["progresses"] == [{"fileId": file_id, "status": "PROCESS_STATUS_FAILED"}]


def test_uploads_fail_with_a_status(control: EmulatorControl, raw: Raw) -> None:
    """So many times; nothing is kept of them."""
    control.uploads(status=503, times=2)
    failed = raw.upload(b"x")
    assert (failed.status, failed.json["code"]) == (503, "unavailable")
    answered, granted = put(raw)
    assert answered.status == 503
    assert raw.register(granted).json["error_type"] == "file.not_uploaded"
    assert (raw.upload(b"x").status, put(raw)[0].status) == (200, 200)
    assert len(control.files()) == 1


def test_uploads_fail_until_they_are_restored(control: EmulatorControl, raw: Raw) -> None:
    """Without a number of times; who is not let in is told so first."""
    control.uploads(status=429)
    assert [raw.upload(b"x").status for _ in range(3)] == [429] * 3
    assert Raw(control, "forged").upload(b"x").status == 401
    control.uploads()
    assert raw.upload(b"x").status == 200


@pytest.mark.parametrize(
    ("name", "content_type", "taken"),
    [
        ("a.txt", "text/plain", True),
        ("a.XYZ", "text/plain", False),
        ("a.txt", "Text/X-Foo; charset=utf-8", False),
        ("a.xyz.txt", "text/x-food", True),
    ],
)
def test_types_are_refused(control: EmulatorControl, raw: Raw, name: str, content_type: str, taken: bool) -> None:  # noqa: FBT001
    """By the content type or the ending of the name, whatever their case."""
    control.uploads(refuse_types=["text/x-foo", ".xyz"])
    connect, legacy = raw.upload(b"x", name, content_type), raw.register(put(raw, name, content_type)[1], name=name)
    assert [connect.status == 200, legacy.status == 200, len(control.files()) == 2] == [taken] * 3
    if not taken:
        assert (connect.status, connect.json["code"], connect.json["message"]) == (
            400,
            "invalid_argument",
            "unsupported file type",
        )
        assert connect.json["details"][0]["debug"]["reason"] == "REASON_FILE_TYPE_NOT_SUPPORTED"
        assert legacy.json == {"error_type": "file.type_not_supported", "message": "unsupported file type"}


def test_the_answer_to_an_upload_is_delayed(control: EmulatorControl, raw: Raw) -> None:
    """On both sites, and only that one; a refusal is as slow."""
    control.uploads(delay=0.15, refuse_types=[".xyz"])
    before = time.monotonic()
    raw.upload(b"x")
    assert 0.15 <= time.monotonic() - before < 5
    raw.upload(b"x", "a.xyz")
    put(raw)
    assert [entry["seconds"] >= 0.15 for entry in control.log()] == [True, True, False, True]


def test_the_most_uploads_at_once_are_told(control: EmulatorControl, raw: Raw) -> None:
    """Of both sites together, until a reset; one after the other is one."""
    assert control.most_uploads_at_once() == 0
    for _ in range(2):
        raw.upload(b"x")
    assert control.most_uploads_at_once() == 1
    control.uploads(delay=0.3)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(2):
            pool.submit(raw.upload, b"x")
        pool.submit(put, raw)
    assert control.most_uploads_at_once() == 3
    control.reset()
    assert control.most_uploads_at_once() == 0


def test_an_upload_in_progress_is_seen_and_may_break_off(control: EmulatorControl, raw: Raw) -> None:
    """It stands in the log from its head on; the next one does not run beside a dead one."""
    body, headers = form(part(b"x" * 1000))
    head = f"POST {UPLOAD} HTTP/1.1\r\nhost: {raw.host}\r\nauthorization: Bearer {raw.token}\r\n"
    head += f"content-type: {headers['content-type']}\r\ncontent-length: {len(body)}\r\n\r\n"
    host, _, port = raw.host.partition(":")
    with socket.create_connection((host, int(port)), 5) as sock:
        sock.sendall(head.encode() + body[:500])
        (entry,) = control.wait_for_log(lambda entries: len(entries) == 1)
        assert (entry["request"], entry["status"], entry["account"]) == (None, None, "ann")
    (entry,) = control.wait_for_log(lambda entries: entries[0]["client_closed"])
    assert not entry["finished"]
    assert control.files() == []
    raw.upload(b"x")
    assert control.most_uploads_at_once() == 1


def test_a_prompt_may_be_too_long(control: EmulatorControl, raw: Raw) -> None:
    """By one character; no chat is opened and no planned answer used up."""
    control.uploads(max_prompt=4)
    control.plan({"text": "a"}, repeat=False)
    events = raw.ask("fünf!").frames
    assert events[0][1] == {"heartbeat": {}}
    flags, trailer = events[1]
    assert (flags, trailer["error"]["code"]) == (2, "invalid_argument")
    assert trailer["error"]["details"][0]["debug"]["reason"] == "REASON_TOKEN_LENGTH_TOO_LONG"
    assert control.chats() == []
    assert answer_text(raw.ask("vier").frames) == "a"


def test_a_prompt_may_be_too_long_for_the_legacy_site(control: EmulatorControl, raw: Raw) -> None:
    """The error of the capture in the stream, and the chat knows nothing of it."""
    path = f"/api/chat/{raw.legacy('POST', '/api/chat', name='n').json['id']}/completion/stream"
    control.uploads(max_prompt=4)
    control.plan({"text": "a"})
    long, short = (raw.legacy("POST", path, messages=[{"role": "user", "content": text}]) for text in ("fünf!", "vier"))
    assert (long.status, [event["event"] for event in long.events]) == (200, ["error", "all_done"])
    assert set(long.events[0]["error"]) == {"error_type", "message"}
    assert long.events[0]["error"]["error_type"] == "openai.completion.token_length_too_long"
    assert "".join(event["text"] for event in short.events if event["event"] == "cmpl") == "a"
    assert [message["text"] for message in control.chats()[0]["messages"]] == ["vier", "a"]


def test_a_file_is_forgotten(control: EmulatorControl, raw: Raw) -> None:
    """As if the site had dropped it; the others stay."""
    first, second = (raw.upload(b"x").json["file"]["id"] for _ in range(2))
    control.forget_file(first)
    assert [file["id"] for file in control.files()] == [second]
    assert raw.progress(first).status == 404
    with pytest.raises(ControlError, match="no such file"):
        control.forget_file(first)


def test_a_reset_takes_files_permissions_and_orders_back(control: EmulatorControl, raw: Raw) -> None:
    """All of them."""
    granted = raw.pre_sign().json
    raw.upload(b"x")
    control.uploads(status=503)
    control.reset()
    raw.token = control.account("ann").access_token
    assert control.files() == []
    assert raw.put(granted["url"], b"x").status == 403
    assert raw.upload(b"x").status == 200


def test_an_order_replaces_the_one_before_it(control: EmulatorControl, raw: Raw) -> None:
    """Whole, not field by field."""
    control.uploads(status=503)
    control.uploads(polls=2)
    assert states(raw, raw.upload(b"x").json["file"]["id"], 3) == ["PROCESSING", "PROCESSING", "SUCCESS"]


def test_the_parsing_call_fails_like_any_unary_one(control: EmulatorControl, raw: Raw) -> None:
    """By the order for unary calls."""
    file_id = raw.upload(b"x").json["file"]["id"]
    control.unary("GetFileParseProgress", 503, times=1)
    assert [raw.progress(file_id).status for _ in range(2)] == [503, 200]


@pytest.mark.parametrize(
    ("order", "word"),
    [
        ({"colour": "red"}, "colour"),
        ({"polls": -1}, "polls"),
        ({"delay": -0.1}, "delay"),
        ({"status": 200}, "status"),
        ({"status": 503, "fail": "r"}, "exclude"),
        ({"times": 1}, "times"),
        ({"times": -1, "status": 503}, "times"),
        ({"max_prompt": 0}, "max_prompt"),
        ({"parsing_lines": -1}, "parsing_lines"),
        ({"refuse_types": ".xyz"}, "refuse_types"),
    ],
)
def test_mistakes_are_told(control: EmulatorControl, order: Any, word: str) -> None:  # noqa: ANN401 -- wrong on purpose
    """An order that nobody would carry out is refused."""
    with pytest.raises(ControlError, match=word):
        control.uploads(**order)
