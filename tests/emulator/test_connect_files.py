"""Files of the Connect site: upload, parsing, and chats that name them."""

import hashlib
import re
import tracemalloc
from typing import Any

import pytest

from emulator.client import EmulatorControl
from emulator.files import MOST_BYTES
from emulator.received import receive_form
from tests.emulator.raw import CHAT, PROGRESS, STREAM, UPLOAD, Answered, Raw, answer_text, form, frame, part, question

pytestmark = pytest.mark.e2e

MESSAGES = "kimi.gateway.chat.v1.ChatService/ListMessages"
NOBODY = "00000000-0000-8000-8000-0000000000f1"


def block(file_id: str, status: str = "PROCESS_STATUS_SUCCESS") -> dict[str, Any]:
    """Name a file in a message."""
    return {"file": {"id": file_id, "status": status}}


def ask(raw: Raw, *blocks: object, text: str = "Hi", **fields: object) -> Answered:
    """Ask with files; without a text there is no text block."""
    wanted = question(text, **fields)
    wanted["message"]["blocks"] = [*(wanted["message"]["blocks"] if text else []), *blocks]
    return raw.send("POST", CHAT, frame(wanted), STREAM)


def uploaded(raw: Raw, data: bytes = b"words", name: str = "a.txt", content_type: str = "text/plain") -> str:
    """Upload a file and give its id."""
    file_id: str = raw.upload(data, name, content_type).json["file"]["id"]
    return file_id


def parsed(raw: Raw, data: bytes = b"words") -> str:
    """Upload a document, wait until it is parsed, and give its id."""
    file_id = uploaded(raw, data)
    assert [raw.progress(file_id).json["progresses"][0]["status"] for _ in range(2)][1] == "PROCESS_STATUS_SUCCESS"
    return file_id


def refused(answered: Answered) -> tuple[str, str]:
    """Give code and message of a refusal in the stream."""
    error = answered.frames[-1][1]["error"]
    return error["code"], error["message"]


def test_an_image_is_answered_as_in_the_capture(control: EmulatorControl, raw: Raw) -> None:
    """Field by field, sizes as text."""
    data = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
    answered = raw.upload(data, "photo 1.png", "image/png")
    assert answered.status == 200
    file = answered.json["file"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", file["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", file["meta"].pop("createTime"))
    assert file["meta"] == {
        "name": "photo 1.png",
        "contentType": "image/png",
        "sizeBytes": "264",
        "checksum": hashlib.sha256(data).hexdigest(),
        "ext": "png",
        "type": "FILE_TYPE_IMAGE",
    }
    assert file["blob"]["signUrl"].startswith(f"{control.base_url}/apiv2-files/sign-obj/")
    assert "filename=photo%201.png&sig=" in file["blob"]["signUrl"]
    assert set(file["parseResult"]["thumbnail"]) == {"thumbnailUrl", "previewUrl", "mobileThumbnailUrl"}


def test_a_document_has_no_thumbnail(raw: Raw) -> None:
    """And is of the other type; without a dot in its name it has no extension."""
    file = raw.upload(b"x", "README", "text/plain").json["file"]
    assert (file["meta"]["type"], file["meta"]["ext"], "parseResult" in file) == ("FILE_TYPE_FILE", "", False)


def test_the_shelf_shows_what_was_sent(control: EmulatorControl, raw: Raw) -> None:
    """A small text with its words, anything else by its digest alone."""
    picture, long = b"\xff\xd8\xff", b"a" * (256 * 1024 + 1)
    raw.upload("Grüße".encode(), "a.txt", "text/plain; charset=utf-8")
    raw.upload(picture, "b.jpg", "image/jpeg")
    raw.upload(long[1:], "c.txt")
    raw.upload(long, "d.txt")
    first, second, third, fourth = control.files()
    assert first == {
        "id": first["id"],
        "account": "ann",
        "name": "a.txt",
        "content_type": "text/plain; charset=utf-8",
        "size": 7,
        "sha256": hashlib.sha256("Grüße".encode()).hexdigest(),
        "kind": "file",
        "protocol": "connect",
        "text": "Grüße",
        "status": "initialized",
        "used": 0,
    }
    assert (second["kind"], second["size"], second["text"]) == ("image", 3, None)
    assert third["text"] == long[1:].decode()
    assert (fourth["size"], fourth["text"]) == (len(long), None)


def test_the_log_has_a_summary_for_the_bytes(control: EmulatorControl, raw: Raw) -> None:
    """What the one part was, or all of them, or what is wrong with the form."""
    raw.upload(b"secret words", "a.txt")
    raw.send("POST", UPLOAD, *form(part(b"1"), part(b"", None, None, "purpose")))
    raw.send("POST", UPLOAD, b"no form", {"content-type": "text/plain"})
    one, two, wrong = control.log()
    digest = hashlib.sha256(b"secret words").hexdigest()
    summary = {"field": "file", "name": "a.txt", "content_type": "text/plain", "size": 12, "sha256": digest}
    assert (one["request"], one["account"], one["status"]) == (summary, "ann", 200)
    parts: Any = two["request"]
    assert [(item["field"], item["name"], item["size"]) for item in parts["parts"]] == [
        ("file", "a.txt", 1),
        ("purpose", None, 0),
    ]
    assert wrong["request"] == {"mistake": "the body must be multipart/form-data"}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (form(), "one part"),
        (form(part(b"x"), part(b"x")), "one part"),
        (form(part(b"x"), part(b"x", None, None, "purpose")), "one part"),
        (form(part(b"x", field="data")), "named file"),
        (form(part(b"x", None)), "filename"),
        (form(part(b"x", "")), "filename"),
        (form(part(b"")), "empty"),
        ((form(part(b"x"))[0][:-6], form()[1]), "breaks off"),
        ((b"{}", {"content-type": "application/json"}), "multipart/form-data"),
        ((b"", {}), "multipart/form-data"),
    ],
)
def test_a_wrong_form_is_refused(
    control: EmulatorControl, raw: Raw, body: tuple[bytes, dict[str, str]], word: str
) -> None:
    """As an invalid argument, and nothing is kept."""
    answered = raw.send("POST", UPLOAD, *body)
    assert (answered.status, answered.json["code"]) == (400, "invalid_argument")
    assert word in answered.json["message"]
    assert control.files() == []


@pytest.mark.parametrize(("path", "body"), [(UPLOAD, form(part(b"x"))), (PROGRESS, (b'{"file_ids":[]}', {}))])
def test_both_calls_want_an_access_token(
    control: EmulatorControl, path: str, body: tuple[bytes, dict[str, str]]
) -> None:
    """The same answer as elsewhere."""
    for token in ("", "forged", control.account("ann").refresh_token):
        answered = Raw(control, token).send("POST", path, *body)
        assert (answered.status, answered.json["code"]) == (401, "unauthenticated")
    assert Raw(control, "").send("GET", path, None, {}).status == 405
    assert control.files() == []


def test_the_largest_file_and_one_byte_more(control: EmulatorControl, raw: Raw) -> None:
    """100 MiB are taken; what is over that is refused by its size."""
    data = bytes(MOST_BYTES + 1)
    assert raw.upload(data[1:]).status == 200
    refusal = raw.upload(data)
    assert (refusal.status, refusal.json["code"]) == (413, "invalid_argument")
    (file,) = control.files()
    assert (file["size"], file["sha256"]) == (MOST_BYTES, hashlib.sha256(data[1:]).hexdigest())


def test_a_long_body_is_never_held() -> None:
    """Eight million bytes cost less than one million."""

    class Endless:
        left = 8_000_000
        head, tail = form(part(b""))[0].split(b"\r\n\r\n", 1)

        def read(self, size: int, /) -> bytes:
            if self.head:
                started, self.head = self.head + b"\r\n\r\n", b""
                return started
            if self.left:
                self.left -= 50_000
                return bytes(50_000)
            ended, self.tail = self.tail, b""
            return ended

    tracemalloc.start()
    received = receive_form(Endless(), form()[1]["content-type"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [item.size for item in received.parts] == [8_000_000]
    assert peak < 1_000_000


def test_the_parsing_takes_one_question_more(control: EmulatorControl, raw: Raw) -> None:
    """As in the capture, also for an image; asked for in either spelling."""
    ids = [uploaded(raw), uploaded(raw, b"\xff\xd8", "b.jpg", "image/jpeg")]
    for expected, shown in (("PROCESSING", "parsing"), ("SUCCESS", "parsed"), ("SUCCESS", "parsed")):
        progresses = [{"fileId": item, "status": f"PROCESS_STATUS_{expected}"} for item in ids]
        assert raw.progress(*ids).json == {"progresses": progresses}
        assert [file["status"] for file in control.files()] == [shown] * 2
    assert raw.send("POST", PROGRESS, b'{"fileIds":[]}', {}).json == {"progresses": []}


def test_files_of_nobody_and_of_others_are_not_found(control: EmulatorControl, raw: Raw) -> None:
    """Neither by the parsing nor by a chat."""
    other = Raw(control, control.account("bob").access_token)
    for file_id in (NOBODY, uploaded(other)):
        answered = raw.progress(file_id)
        assert (answered.status, answered.json["code"]) == (404, "not_found")
        assert refused(ask(raw, block(file_id))) == ("invalid_argument", "there is no such file")
    assert control.chats() == []


def test_a_chat_with_files(control: EmulatorControl, raw: Raw) -> None:
    """The files' frame, the blocks of the echo and of the list, the control plane's view."""
    image = raw.upload(b"\xff\xd8", "b.jpg", "image/jpeg").json["file"]
    document = parsed(raw)
    control.plan({"text": "seen"})
    answered = ask(raw, block(image["id"]), block(document))
    assert answer_text(answered.frames) == "seen"
    events = [event for _, event in answered.frames]
    (at,) = [index for index, event in enumerate(events) if event.get("mask") == "chat.files"]
    chat, user = events[at]["chat"], events[at + 1]["message"]
    (shown,) = control.chats()
    assert (events[at]["op"], chat["id"], user["role"]) == ("append", shown["id"], "user")
    assert chat["files"][0] == image
    assert [(file["id"], file["meta"]["sizeBytes"]) for file in chat["files"]] == [(image["id"], "2"), (document, "5")]
    blocks = [
        {"messageId": "", "text": {"content": "Hi"}},
        {"messageId": "", **block(image["id"])},
        {"messageId": "", **block(document)},
    ]
    assert user["blocks"] == blocks
    assert raw.call(MESSAGES, chat_id=shown["id"], page_size=9).json["messages"][1]["blocks"] == blocks
    assert [message["files"] for message in shown["messages"]] == [[], [image["id"], document], []]


def test_turns_are_counted(control: EmulatorControl, raw: Raw) -> None:
    """Each turn once, in an old chat and by an edit too; a refused one not at all."""
    control.plan({"text": "a"}, repeat=True)
    first, second = parsed(raw), parsed(raw)
    ask(raw, block(first))
    chat = control.chats()[0]
    ask(raw, block(first), chat_id=chat["id"])
    ask(raw, block(second), chat_id=chat["id"], id=chat["messages"][1]["id"])
    ask(raw, block(second), block(NOBODY))
    assert [file["used"] for file in control.files()] == [2, 1]
    assert control.chats()[0]["messages"][1]["files"] == [second]


def test_a_turn_without_files_has_no_frame_of_files(control: EmulatorControl, raw: Raw) -> None:
    """And its message names none."""
    events = [event for _, event in raw.ask().frames]
    assert "chat.files" not in [event.get("mask") for event in events]
    assert [message["files"] for message in control.chats()[0]["messages"]] == [[], [], []]


def test_a_document_must_have_been_parsed(control: EmulatorControl, raw: Raw) -> None:
    """An image need not, but neither may have failed, and the block must say that all is well."""
    control.plan({"text": "a"}, repeat=True)
    document, image = uploaded(raw), uploaded(raw, b"\xff\xd8", "b.jpg", "image/jpeg")
    assert refused(ask(raw, block(document))) == ("invalid_argument", "the file has not been parsed")
    raw.progress(document)
    assert refused(ask(raw, block(document)))[1] == "the file has not been parsed"
    raw.progress(document)
    assert answer_text(ask(raw, block(document), block(image)).frames) == "a"
    for status in ("PROCESS_STATUS_PROCESSING", ""):
        assert refused(ask(raw, block(document, status)))[1] == "file.status must be PROCESS_STATUS_SUCCESS"
    control.uploads(fail="broken", polls=0)
    for failed in (uploaded(raw), uploaded(raw, b"\xff\xd8", "b.jpg", "image/jpeg")):
        assert refused(ask(raw, block(failed)))[1] == "the file has not been parsed"


def test_files_alone_are_no_message(control: EmulatorControl, raw: Raw) -> None:
    """Nor are empty words."""
    file_id = parsed(raw)
    for answered in (ask(raw, block(file_id), text=""), raw.ask("")):
        assert refused(answered) == ("invalid_argument", "message.blocks must hold a text")
    assert control.chats() == []
