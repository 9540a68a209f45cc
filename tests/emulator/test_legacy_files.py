"""Files of the legacy site: the pre-signed address, the PUT, the registration, the parsing, the refs."""

import hashlib
import http.client
import json
import re
from typing import Any

import pytest

from emulator.client import EmulatorControl
from tests.emulator.raw import CHAT, STREAM, Answered, Raw, answer_text, frame, question

pytestmark = pytest.mark.e2e

PROCESS = "/api/file/parse_process"
XID = re.compile(r"[0-9a-v]{20}")


def stored(raw: Raw, kind: str = "file", data: bytes = b"%PDF", name: str = "a.pdf") -> str:
    """Go the whole way up to the registration, and give the file's id."""
    granted = raw.pre_sign(name, kind).json
    assert raw.put(granted["url"], data).status == 200
    file_id: str = raw.register(granted, kind, name).json["id"]
    return file_id


def parsing(raw: Raw, *ids: str) -> Answered:
    """Ask how the parsing goes on."""
    return raw.legacy("POST", PROCESS, ids=ids)


def complete(raw: Raw, *refs: str, text: str = "1+1", chat: str = "") -> Answered:
    """Ask in a legacy chat, a new one by default, referring to files."""
    chat = chat or raw.legacy("POST", "/api/chat", name="n").json["id"]
    messages = [{"role": "user", "content": text}]
    return raw.legacy("POST", f"/api/chat/{chat}/completion/stream", messages=messages, refs=refs)


def error(answered: Answered) -> tuple[int, str]:
    """Give status and type of a refusal."""
    return answered.status, answered.json["error_type"]


def test_a_document_goes_the_whole_way(control: EmulatorControl, raw: Raw) -> None:
    """Every answer has the shape of the captures, and the file gets an id of its own."""
    granted = raw.pre_sign("a.pdf")
    assert (granted.status, set(granted.json)) == (200, {"url", "object_name", "file_id"})
    assert granted.json["url"].startswith(f"{control.base_url}/")
    assert raw.put(granted.json["url"], b"%PDF-1.7").status == 200
    registered = raw.register(granted.json, name="b.pdf")
    file = registered.json
    assert set(file) == {
        *("id", "name", "parent_path", "type", "status", "presigned_url", "text_presigned_url"),
        *("uploaded_at", "created_at", "updated_at"),
    }
    assert (file["name"], file["type"], file["status"]) == ("b.pdf", "file", "initialized")
    assert XID.fullmatch(file["id"])
    assert file["id"] != granted.json["file_id"]
    answered = parsing(raw, file["id"])
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert [event["status"] for event in answered.events] == ["parsing", "parsed"]
    assert answered.events[1] == {
        "event": "resp",
        "file_info": {
            "id": file["id"],
            "name": "b.pdf",
            "type": "file",
            "content_type": "pdf",
            "status": "parsed",
            "size": 8,
            "token_size": 2,
            "failed_reason": "",
        },
        "id": file["id"],
        "status": "parsed",
    }
    assert control.files() == [
        {
            "id": file["id"],
            "account": "ann",
            "name": "b.pdf",
            "content_type": "application/pdf",
            "size": 8,
            "sha256": hashlib.sha256(b"%PDF-1.7").hexdigest(),
            "kind": "file",
            "protocol": "legacy",
            "text": "%PDF-1.7",
            "status": "parsed",
            "used": 0,
        }
    ]


def test_an_image_has_the_id_of_its_address(control: EmulatorControl, raw: Raw) -> None:
    """It is registered by file_id, and ready at once."""
    granted = raw.pre_sign("b.jpg", "image").json
    raw.put(granted["url"], b"\xff\xd8", "image/jpeg")
    assert raw.register(granted, "image").json["id"] == granted["file_id"]
    assert (control.files()[0]["kind"], control.files()[0]["content_type"]) == ("image", "image/jpeg")
    assert complete(raw, granted["file_id"]).status == 200


def test_the_put_is_logged_by_its_summary(control: EmulatorControl, raw: Raw) -> None:
    """With the account of the address, though no bearer says so; the signature stays out."""
    granted = raw.pre_sign().json
    raw.put(granted["url"], b"bytes")
    entry = control.log()[-1]
    digest = hashlib.sha256(b"bytes").hexdigest()
    assert entry["request"] == {
        "field": None,
        "name": None,
        "content_type": "application/pdf",
        "size": 5,
        "sha256": digest,
    }
    assert (entry["method"], entry["account"], entry["authorization"]) == ("PUT", "ann", "none")
    assert granted["url"].rpartition("=")[2] not in json.dumps(entry)


def test_the_address_is_the_only_permission(control: EmulatorControl, raw: Raw) -> None:
    """A token has no business there, and nobody guesses the signature."""
    url = raw.pre_sign().json["url"]
    path = url.removeprefix(control.base_url)
    assert raw.send("PUT", path, b"x", {}).status == 400
    forged = path[:-1] + ("1" if path.endswith("0") else "0")
    for wrong in (forged, path.partition("?")[0], path.replace("uploads", "other")):
        assert raw.put(wrong, b"x").status == 403
    assert Raw(control, "").send("GET", path, None, {}).status == 405
    assert error(raw.register(raw.pre_sign().json)) == (400, "file.not_uploaded")
    assert raw.put(url, b"x").status == 200


def test_the_length_must_be_declared(control: EmulatorControl, raw: Raw) -> None:
    """A storage takes no chunks, and keeps nothing of them."""
    granted = raw.pre_sign().json
    connection = http.client.HTTPConnection(raw.host, timeout=5)
    connection.request("PUT", granted["url"].removeprefix(control.base_url), iter([b"a", b"b"]), encode_chunked=True)
    with connection.getresponse() as response:
        assert response.status == 411
    connection.close()
    assert error(raw.register(granted)) == (400, "file.not_uploaded")


def test_a_file_that_is_too_large_is_not_taken(raw: Raw) -> None:
    """By one byte."""
    assert raw.put(raw.pre_sign().json["url"], bytes(100 * 1024 * 1024 + 1)).status == 413


def test_registrations_that_are_refused(control: EmulatorControl, raw: Raw) -> None:
    """Unknown, of another kind or account, nothing put, nothing in it, a chat that is none."""
    granted, picture = raw.pre_sign().json, raw.pre_sign("b.jpg", "image").json
    raw.put(granted["url"], b"x")
    other = Raw(control, control.account("bob").access_token)
    assert error(other.register(granted)) == (404, "file.not_found")
    assert error(raw.register(granted, "image")) == (404, "file.not_found")
    assert error(raw.register({"object_name": ""})) == (404, "file.not_found")
    assert error(raw.register(picture, "image")) == (400, "file.not_uploaded")
    raw.put(picture["url"], b"")
    assert error(raw.register(picture, "image")) == (400, "file.empty")
    named = {"type": "file", "name": "a.pdf", "object_name": granted["object_name"]}
    assert error(raw.legacy("POST", "/api/file", **named, chat_id="c")) == (404, "chat.not_found")
    for wrong in ({"type": "video"}, {"name": ""}):
        assert raw.legacy("POST", "/api/file", **{**named, **wrong}).status == 400
    assert raw.pre_sign(action="video").status == raw.pre_sign("").status == 400
    assert control.files() == []
    chat = raw.legacy("POST", "/api/chat", name="n").json["id"]
    assert raw.legacy("POST", "/api/file", **named, file_id="", chat_id=chat).status == 200


def test_a_registration_may_be_repeated(control: EmulatorControl, raw: Raw) -> None:
    """It answers the same file, with the status of that time."""
    granted = raw.pre_sign().json
    raw.put(granted["url"], b"x")
    first = raw.register(granted).json
    parsing(raw, first["id"])
    second = raw.register(granted).json
    assert (second["id"], second["status"]) == (first["id"], "parsed")
    assert len(control.files()) == 1


def test_the_calls_want_an_access_token(control: EmulatorControl) -> None:
    """As all others of the site."""
    nobody = Raw(control, "forged")
    for answered in (nobody.pre_sign(), nobody.register({"object_name": ""}), parsing(nobody)):
        assert error(answered) == (401, "auth.token.invalid")


def test_files_of_others_are_not_told_of(control: EmulatorControl, raw: Raw) -> None:
    """Neither by the parsing nor by a completion."""
    other = Raw(control, control.account("bob").access_token)
    for file_id in ("nothing", stored(other)):
        assert error(parsing(raw, file_id)) == (400, "file.not_found")
        assert error(complete(raw, file_id)) == (400, "file.not_found")
    assert [chat["messages"] for chat in control.chats()] == [[], []]


def test_refs_are_echoed_shown_and_counted(control: EmulatorControl, raw: Raw) -> None:
    """In the req event, in the message, in the file."""
    control.plan({"text": "a"}, repeat=True)
    files = [stored(raw), stored(raw)]
    parsing(raw, *files)
    assert complete(raw, *files).events[0]["refs"] == files
    (chat,) = control.chats()
    assert complete(raw, files[0], chat=chat["id"]).events[0]["refs"] == files[:1]
    (shown,) = control.chats()
    assert [message["files"] for message in shown["messages"]] == [files, [], files[:1], []]
    assert [file["used"] for file in control.files()] == [2, 1]


def test_a_document_must_have_been_parsed(control: EmulatorControl, raw: Raw) -> None:
    """An image need not; neither may have failed."""
    control.plan({"text": "a"}, repeat=True)
    document, image = stored(raw), stored(raw, "image")
    assert error(complete(raw, document)) == (400, "file.not_parsed")
    assert complete(raw, image).status == 200
    parsing(raw, document)
    assert complete(raw, document, image).status == 200
    control.uploads(fail="broken")
    failed = [stored(raw), stored(raw, "image")]
    parsing(raw, *failed)
    for file_id in failed:
        assert error(complete(raw, file_id)) == (400, "file.not_parsed")
    assert [file["used"] for file in control.files()] == [1, 2, 0, 0]


def test_the_connect_site_takes_files_of_this_one_but_not_the_reverse(control: EmulatorControl, raw: Raw) -> None:
    """Two sources do the one, none the other."""
    control.plan({"text": "a"})
    wanted: dict[str, Any] = question("q")
    image = stored(raw, "image")
    wanted["message"]["blocks"].append({"file": {"id": image, "status": "PROCESS_STATUS_SUCCESS"}})
    assert answer_text(raw.send("POST", CHAT, frame(wanted), STREAM).frames) == "a"
    uploaded = raw.upload(b"x", "b.jpg", "image/jpeg").json["file"]["id"]
    assert error(complete(raw, uploaded)) == (400, "file.not_found")
