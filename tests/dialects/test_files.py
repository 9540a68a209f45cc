"""OpenAI's Files, from door to door."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

import httpx2
import openai
import pytest
from openai.types import FileObject
from werkzeug.test import TestResponse

from app.accounts.credentials import parse_credentials
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.chat.events import Finished, Opened, TextDelta
from app.dialects.files import MAX_PAGE, MAX_PURPOSE
from app.errors import AttachmentRefused, GatewayError, RequestTooLarge, TokenExpired, UpstreamBusy, UpstreamTimeout
from app.kimi.client import Account
from app.kimi.storage import READ_WITHIN
from tests.dialects.houses import CLIENT, KEY, OWN, SOON, Front
from tests.fakes import FakeExchange, FakeKimi, FakeStorage, jwt

PATH = "/v1/files"
OTHER = jwt(sub="other")
PDF = b"%PDF-1.7 a document"
PNG = b"\x89PNG\r\n\x1a\n a picture"
MAX_BYTES = 1_000_000
FORM = "multipart/form-data; boundary=x"
NAMED = b'name="file"; filename="a.pdf"'
ZIP = b"PK\x03\x04 an archive"


def answering() -> FakeExchange:
    """An exchange that goes well."""
    return FakeExchange([Opened("chat-1")], [TextDelta("hello")], [Finished()])


def front_of(*exchanges: FakeExchange, storage: FakeStorage | None = None) -> Front:
    """The doors over a Kimi that gives these answers."""
    return Front(FakeKimi(*exchanges), storage=storage)


def sdk(front: Front, key: str = CLIENT) -> openai.OpenAI:
    """OpenAI's own client, strict about what it is answered."""
    transport = httpx2.WSGITransport(app=front.client().application)
    return openai.OpenAI(
        api_key=key,
        base_url="http://gateway.example/v1",
        http_client=httpx2.Client(transport=transport),
        max_retries=0,
        _strict_response_validation=True,
    )


def bearer(key: str = CLIENT) -> dict[str, str]:
    """The header of a caller."""
    return {"Authorization": f"Bearer {key}"}


def post(
    front: Front,
    data: bytes = PDF,
    name: str = "a.pdf",
    *,
    key: str = CLIENT,
    kind: str = "",
    purpose: str | None = None,
) -> TestResponse:
    """Upload, as curl does."""
    disposition = f'name="file"; filename="{name}"' + (f"\r\nContent-Type: {kind}" if kind else "")
    body = raw_form(disposition.encode(), data)
    if purpose is not None:
        body = raw_form(b'name="purpose"', purpose.encode()).removesuffix(b"--x--\r\n") + body
    return front.client().post(PATH, data=body, content_type=FORM, headers=bearer(key))


def raw_form(disposition: bytes, data: bytes = PDF) -> bytes:
    """A form as no library writes it."""
    return b"--x\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + data + b"\r\n--x--\r\n"


def post_raw(front: Front, body: bytes, kind: str = FORM, **headers: str) -> TestResponse:
    """Upload these bytes."""
    return front.client().post(PATH, data=body, content_type=kind, headers=bearer() | headers)


def upload(front: Front, data: bytes = PDF, name: str = "a.pdf", key: str = CLIENT, purpose: str | None = None) -> str:
    """Upload what is taken; give its id. A second passes."""
    front.house.clock.advance(1)
    response = post(front, data, name, key=key, purpose=purpose)
    assert response.status_code == 200, response.text
    return str(response.get_json()["id"])


def ids(front: Front, query: str = "", key: str = CLIENT) -> list[str]:
    """The ids of a page."""
    response = front.client().get(PATH + query, headers=bearer(key))
    assert response.status_code == 200, response.text
    return [str(file["id"]) for file in response.get_json()["data"]]


def ask(front: Front, file_id: str, key: str = CLIENT, kind: str = "file") -> TestResponse:
    """Ask about an uploaded file."""
    part = {"type": "file", "file": {"file_id": file_id}} if kind == "file" else {"type": kind, "file_id": file_id}
    content = [{"type": "text", "text": "What is this?"}, part]
    body = {"model": "kimi", "messages": [{"role": "user", "content": content}]}
    return front.client().post("/v1/chat/completions", json=body, headers=bearer(key))


def told(response: TestResponse) -> list[object]:
    """Status, code and field of an error in OpenAI's shape, with what goes with every error."""
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["x-request-id"]
    assert response.headers["x-should-retry"] == "false"
    error = response.get_json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return [response.status_code, error["code"], error["param"]]


def refused(front: Front, response: TestResponse) -> list[object]:
    """The same of an upload; nothing of it reached Kimi, and nothing is listed."""
    assert [front.storage.uploads, front.storage.kept, ids(front)] == [0, {}, []]
    return told(response)


# --- Going well ------------------------------------------------------------------------------


def test_the_sdk_uploads_finds_and_deletes() -> None:
    """In the vendor's own types, with nothing missing in them."""
    front = front_of()
    client = sdk(front)
    created = client.files.create(file=("отчёт.pdf", PDF, "application/pdf"), purpose="user_data")
    assert created == FileObject(
        id=created.id,
        bytes=len(PDF),
        created_at=int(front.house.clock.now),
        filename="отчёт.pdf",
        object="file",
        purpose="user_data",
        status="processed",
    )
    assert created.id.startswith("file-")
    assert client.files.retrieve(created.id) == created
    assert client.files.list().data == [created]
    deleted = client.files.delete(created.id)
    assert [deleted.id, deleted.deleted, deleted.object] == [created.id, True, "file"]
    assert client.files.list().data == []
    for call in (client.files.retrieve, client.files.delete):
        with pytest.raises(openai.NotFoundError) as caught:
            call(created.id)
        assert caught.value.code == "file_not_found"


def test_kimi_is_sent_the_bytes() -> None:
    """At once, under their name, by their account."""
    front = front_of()
    upload(front, PNG, "a picture.png")
    (kept,) = front.storage.kept.values()
    assert [kept.name, kept.media_type, kept.data] == ["a picture.png", "image/png", PNG]
    assert kept.account == Account(CLIENT, overseas=False, protocol="connect")


def test_a_large_file_is_sent_whole() -> None:
    """As large as may be."""
    front = front_of()
    data = PDF + bytes(range(256)) * 3900
    assert post_raw(front, raw_form(NAMED, data)).get_json()["bytes"] == len(data)
    assert front.storage.kept["kimi-1"].data == data


@pytest.mark.parametrize("kind", ["file", "input_file", "input_image"])
def test_an_uploaded_file_can_be_asked_about(kind: str) -> None:
    """By its id, and without another upload."""
    front = front_of(answering())
    response = ask(front, upload(front, PNG, "a.png"), kind=kind)
    assert response.get_json()["choices"][0]["message"]["content"] == "hello"
    assert [turn.files for turn in front.kimi.turns] == [("kimi-1",)]
    assert front.storage.uploads == 1


def test_a_file_that_kimi_still_reads_is_taken() -> None:
    """A platform would end the request; the file is waited for when it is used."""
    reading: list[GatewayError | None] = [UpstreamTimeout("not yet"), None]
    front = front_of(answering(), storage=FakeStorage(unread=lambda _file_id: reading.pop(0)))
    created = sdk(front).files.create(file=("a.pdf", PDF), purpose="assistants")
    assert created.status == "uploaded"
    assert ask(front, created.id).status_code == 200
    assert sdk(front).files.retrieve(created.id).status == "processed"
    assert front.storage.waits[0][1] < 25 < READ_WITHIN == front.storage.waits[1][1]


def test_the_same_bytes_are_two_files_and_one_upload() -> None:
    """Whoever deletes the one still has the other."""
    front = front_of(answering())
    one, other = upload(front, name="a.pdf"), upload(front, name="b.pdf")
    assert one != other
    assert front.storage.uploads == 1
    assert front.client().delete(f"{PATH}/{one}", headers=bearer()).status_code == 200
    assert ids(front) == [other]
    assert ask(front, other).status_code == 200


@pytest.mark.parametrize(
    ("given", "purpose"),
    [
        (None, "user_data"),
        ("", "user_data"),
        (" ", "user_data"),
        ("assistants", "assistants"),
        ("file-extract", "file-extract"),
        ("x" * MAX_PURPOSE, "x" * MAX_PURPOSE),
    ],
)
def test_a_purpose_is_repeated(given: str | None, purpose: str) -> None:
    """It means nothing here."""
    assert post(front_of(), purpose=given).get_json()["purpose"] == purpose


def test_other_fields_are_passed_over() -> None:
    """The SDK writes nested ones in brackets."""
    created = sdk(front_of()).files.create(
        file=("a.pdf", PDF), purpose="vision", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert created.purpose == "vision"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.pdf", "a.pdf"),
        ("two words.pdf", "two words.pdf"),
        ("世界.pdf", "世界.pdf"),
        ("A.PDF", "A.PDF"),
        ("no extension", "no extension.pdf"),
        (".pdf", ".pdf.pdf"),
        ("a..b.pdf", "a..b.pdf"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
        ("e\u0301.pdf", "\u00e9.pdf"),
        ("\U0001f468\u200d\U0001f469.pdf", "\U0001f468\u200d\U0001f469.pdf"),
    ],
)
def test_a_file_keeps_its_name(name: str, kept: str) -> None:
    """As far as Kimi can tell by it how to read the file."""
    front = front_of()
    assert post(front, name=name).get_json()["filename"] == kept
    assert front.storage.kept["kimi-1"].name == kept


@pytest.mark.parametrize("disposition", [b'name="file"; filename=""', b'name="file"; filename="  "'])
def test_a_file_without_a_name_is_given_one(disposition: bytes) -> None:
    """By what it is."""
    front = front_of()
    name = post_raw(front, raw_form(disposition, PNG)).get_json()["filename"]
    assert name.startswith("image-")
    assert name.endswith(".png")


class Ended(FakeStorage):
    """A Kimi that does not take the first caller's token any more."""

    def upload(self, account: Account, content: Content, cancellation: Cancellation) -> str:
        if account.token == CLIENT:
            raise TokenExpired("ended")
        return super().upload(account, content, cancellation)


def test_the_second_account_holds_what_the_first_cannot() -> None:
    """One whose token has ended keeps nobody from uploading; another error is told."""
    front = front_of(storage=Ended())
    file_id = upload(front, key=f"{CLIENT},{OTHER}")
    assert front.storage.kept["kimi-1"].account.token == OTHER
    assert ids(front, key=OTHER) == [file_id]
    assert ids(front, key=CLIENT) == []


# --- Lists -----------------------------------------------------------------------------------


def test_a_list_begins_with_the_newest() -> None:
    """Unless it is asked for otherwise."""
    front = front_of()
    one, two, three = (upload(front, PDF + bytes([number])) for number in range(3))
    assert ids(front) == ids(front, "?order=desc") == [three, two, one]
    assert ids(front, "?order=asc") == [one, two, three]


def test_a_list_comes_in_pages() -> None:
    """The SDK turns them by itself."""
    front = front_of()
    files = [upload(front, PDF + bytes([number])) for number in range(5)]
    assert [file.id for file in sdk(front).files.list(limit=2, order="asc")] == files
    page = front.client().get(f"{PATH}?limit=2&order=asc&after={files[1]}", headers=bearer()).get_json()
    assert page["object"] == "list"
    assert [page["first_id"], page["last_id"], page["has_more"]] == [files[2], files[3], True]
    page = front.client().get(f"{PATH}?limit=2&order=asc&after={files[2]}", headers=bearer()).get_json()
    assert [page["first_id"], page["last_id"], page["has_more"]] == [files[3], files[4], False]
    assert ids(front, f"?after={files[0]}") == []


def test_an_empty_list_is_a_page() -> None:
    """Without a first and a last one."""
    page = front_of().client().get(PATH, headers=bearer()).get_json()
    assert page == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_a_list_may_be_of_one_purpose() -> None:
    """An unknown one has no files."""
    front = front_of()
    one = upload(front, purpose="assistants")
    two = upload(front, PNG, "a.png", purpose="vision")
    assert [ids(front, f"?purpose={name}") for name in ("assistants", "vision", "batch")] == [[one], [two], []]
    assert ids(front, "?purpose=") == [two, one]


@pytest.mark.parametrize("limit", ["1", "2", str(MAX_PAGE), "0002"])
def test_a_limit_is_taken(limit: str) -> None:
    """From one file to as many as there are."""
    front = front_of()
    files = [upload(front, PDF + bytes([number])) for number in range(3)]
    assert ids(front, f"?order=asc&limit={limit}") == files[: int(limit)]


@pytest.mark.parametrize(
    "limit",
    ["0", "-1", "", "x", "1.5", "1e2", str(MAX_PAGE + 1), "000010000999", "000000001" + "9" * 5000, "9" * 5000, "²"],
)
def test_a_limit_is_a_whole_number_in_its_bounds(limit: str) -> None:
    """Anything else is named."""
    response = front_of().client().get(PATH, query_string={"limit": limit}, headers=bearer())
    assert told(response) == [400, "invalid_request", "limit"]


def test_a_list_goes_on_after_a_file_of_one_s_own_only() -> None:
    """Another's id tells nothing."""
    front = front_of()
    others = upload(front, key=OTHER)
    for after in (others, "file-1", "x" * 500):
        response = front.client().get(PATH, query_string={"after": after}, headers=bearer())
        assert told(response) == [404, "file_not_found", "after"]


# --- Whose files -----------------------------------------------------------------------------


def test_another_caller_finds_nothing() -> None:
    """Not even that there is a file; and takes nothing away."""
    front = front_of()
    file_id = upload(front)
    client = front.client()
    assert ids(front, key=OTHER) == []
    assert told(client.get(f"{PATH}/{file_id}", headers=bearer(OTHER))) == [404, "file_not_found", None]
    assert told(client.delete(f"{PATH}/{file_id}", headers=bearer(OTHER))) == [404, "file_not_found", None]
    assert told(ask(front, file_id, OTHER)) == [404, "file_not_found", "messages[0].content[1]"]
    assert front.kimi.turns == []
    assert ids(front) == [file_id]


def test_a_token_with_another_s_name_finds_what_is_known_of_it() -> None:
    """All tokens of a person are one account: a file stays after a new log-in."""
    front = front_of()
    file_id = upload(front)
    assert ids(front, key=jwt(sub="client", jti="another")) == [file_id]


def test_a_file_that_was_deleted_cannot_be_asked_about() -> None:
    """Though Kimi still has it."""
    front = front_of()
    file_id = upload(front)
    front.client().delete(f"{PATH}/{file_id}", headers=bearer())
    assert told(ask(front, file_id)) == [404, "file_not_found", "messages[0].content[1]"]
    assert front.kimi.turns == []


def test_a_file_that_kimi_has_dropped_is_not_found_any_more() -> None:
    """The client is told to upload it again, and the list is right from then on."""
    front = front_of()
    file_id = upload(front)
    front.storage.kept.clear()
    assert told(ask(front, file_id)) == [404, "file_not_found", "messages[0].content[1]"]
    assert front.kimi.turns == []
    assert ids(front) == []


def test_the_list_of_several_accounts_is_one() -> None:
    """Those of the key that presents them."""
    front = front_of(answering(), answering())
    one, two = upload(front, key=CLIENT), upload(front, key=OTHER)
    both = f"{CLIENT},{OTHER}"
    assert ids(front, key=both) == [two, one]
    for file_id, token in ((two, OTHER), (one, CLIENT)):
        assert ask(front, file_id, both).status_code == 200
        assert front.kimi.accounts[-1].token == token
    assert front.client().delete(f"{PATH}/{two}", headers=bearer(both)).status_code == 200
    assert ids(front, key=OTHER) == []


def test_a_gateway_key_uploads_to_the_server_s_own_account() -> None:
    """And finds it there, by any of the keys."""
    front = Front(FakeKimi(answering()), api_keys=(KEY, KEY + "2"))
    file_id = upload(front, key=KEY)
    assert front.storage.kept["kimi-1"].account.token == OWN
    assert ids(front, key=KEY + "2") == [file_id]
    assert ask(front, file_id, KEY).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"Authorization": "Bearer "}, "invalid_api_key"),
        ({"Authorization": "Basic YTpi"}, "invalid_api_key"),
        ({"x-api-key": "short"}, "invalid_api_key"),
    ],
)
def test_a_stranger_is_told_so_before_anything_else(headers: dict[str, str], code: str) -> None:
    """At every route; what is sent is not even looked at."""
    client = front_of().client()
    for response in (
        client.post(PATH, data=b"garbage", headers=headers),
        client.get(PATH + "?limit=x", headers=headers),
        client.get(PATH + "/file-1", headers=headers),
        client.delete(PATH + "/file-1", headers=headers),
    ):
        assert told(response) == [401, code, None]


def test_a_key_that_is_not_one_of_the_gateway_s_is_refused() -> None:
    """Also one that is a Kimi token."""
    front = Front(FakeKimi(), api_keys=(KEY,))
    assert told(post(front, key=CLIENT)) == [401, "invalid_api_key", None]
    assert front.storage.uploads == 0


# --- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"../../etc/passwd",
        b"/etc/passwd",
        b"a/b.pdf",
        b"a/",
        b"..\\a.pdf",
        b".",
        b"..",
        b"...",
        b"a\x00.pdf",
        b"a\x07b.pdf",
        b"a\tb.pdf",
        b"\x1b[2Ja.pdf",
        b"a\x7f.pdf",
        "a\u202efdp.exe".encode(),
        "a\u2066b.pdf".encode(),
        "a\u2028.pdf".encode(),
        "a\u0085b.pdf".encode(),
    ],
)
def test_a_bad_name_is_refused(name: bytes) -> None:
    """Path parts, and characters that nobody sees."""
    front = front_of()
    response = post_raw(front, raw_form(b'name="file"; filename="' + name + b'"'))
    assert refused(front, response) == [400, "attachment_refused", "file"]


@pytest.mark.parametrize("name", [b"C:\\temp\\a.pdf", b"\\\\server\\share\\a.pdf"])
def test_a_path_of_windows_is_no_name(name: bytes) -> None:
    """Old browsers sent it: it is refused, or all but its last part is dropped."""
    front = front_of()
    response = post_raw(front, raw_form(b'name="file"; filename="' + name + b'"'))
    if response.status_code != 200:
        assert refused(front, response) == [400, "attachment_refused", "file"]
    assert [file.name for file in front.storage.kept.values()] in ([], ["a.pdf"])


@pytest.mark.parametrize("encoded", ["..%2Fa.pdf", "a%00.pdf", "a%0D%0AX-Evil%3A%201.pdf", "%E2%80%AEa.pdf"])
def test_a_bad_name_is_refused_in_disguise(encoded: str) -> None:
    """RFC 5987 escapes are read before the name is looked at."""
    front = front_of()
    response = post_raw(front, raw_form(f"name=\"file\"; filename*=UTF-8''{encoded}".encode()))
    assert refused(front, response) == [400, "attachment_refused", "file"]


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"", "a.pdf", ""),
        (b"", "a.txt", "text/plain"),
        (b"", "empty.png", "image/png"),
        (b"<html><body>Log in</body></html>", "a.pdf", ""),
        (b"<html><body>Log in</body></html>", "a.png", "image/png"),
        (b"MZ\x90\x00 a program", "a.png", ""),
        (b"MZ\x90\x00 a program", "a.pdf", "application/pdf"),
        (b"MZ\x90\x00 a program", "a.txt", ""),
        (ZIP, "a.pdf", "application/pdf"),
        (PDF, "a.docx", ""),
        (PNG, "a.md", ""),
    ],
)
def test_what_is_not_what_it_is_called_is_refused(data: bytes, name: str, kind: str) -> None:
    """Before Kimi has it, because nothing can be taken back."""
    front = front_of()
    assert refused(front, post(front, data, name, kind=kind)) == [400, "attachment_refused", "file"]


def test_an_empty_file_is_called_so() -> None:
    """In words that a person understands."""
    assert "0 bytes" in post(front_of(), b"").get_json()["error"]["message"]


@pytest.mark.parametrize("size", [MAX_BYTES + 1, MAX_BYTES + 100_000, 3 * MAX_BYTES])
def test_a_file_that_is_too_large_is_refused(size: int) -> None:
    """Its limit is not that of JSON bodies."""
    front = front_of()
    response = post_raw(front, raw_form(NAMED, PDF.ljust(size, b" ")))
    assert refused(front, response) == [413, "request_too_large", "file"]


def test_a_file_of_the_largest_size_is_taken() -> None:
    """Not a byte less is allowed."""
    front = front_of()
    assert post_raw(front, raw_form(NAMED, PDF.ljust(MAX_BYTES, b" "))).status_code == 200
    assert len(front.storage.kept["kimi-1"].data) == MAX_BYTES


@pytest.mark.parametrize("purpose", ["x" * (MAX_PURPOSE + 1), "a\nb", "a\x00b", "a\u202eb"])
def test_a_purpose_that_is_none_is_refused(purpose: str) -> None:
    """It is kept and shown."""
    front = front_of()
    assert refused(front, post(front, purpose=purpose)) == [400, "invalid_request", "purpose"]


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", FORM, "invalid_request"),
        (b"garbage", FORM, "invalid_request"),
        (raw_form(NAMED)[:-4], FORM, "invalid_request"),
        (raw_form(b'name="file"'), FORM, "invalid_request"),
        (raw_form(b'name="files"; filename="a.pdf"'), FORM, "invalid_request"),
        (raw_form(NAMED).removesuffix(b"--x--\r\n") + raw_form(NAMED), FORM, "invalid_request"),
        (raw_form(NAMED), "multipart/form-data", "unsupported_media_type"),
        (PDF, "application/pdf", "unsupported_media_type"),
        (b'{"file": "a"}', "application/json", "unsupported_media_type"),
        (b"file=a", "application/x-www-form-urlencoded", "unsupported_media_type"),
    ],
)
def test_another_body_is_refused(body: bytes, kind: str, code: str) -> None:
    """What is no form with one file."""
    front = front_of()
    assert refused(front, post_raw(front, body, kind))[:2] == [415 if code.startswith("un") else 400, code]


def test_a_compressed_body_is_refused() -> None:
    """Nothing is inflated."""
    front = front_of()
    response = post_raw(front, raw_form(NAMED), **{"Content-Encoding": "gzip"})
    assert refused(front, response) == [415, "unsupported_media_type", None]


@pytest.mark.parametrize(
    "storage",
    [
        FakeStorage(refuse=lambda _content: AttachmentRefused("Kimi cannot read the file: it is encrypted.")),
        FakeStorage(unread=lambda _file_id: AttachmentRefused("Kimi cannot read the file: it is encrypted.")),
    ],
    ids=["at the upload", "while it is read"],
)
def test_what_kimi_refuses_is_refused_with_its_reason(storage: FakeStorage) -> None:
    """There is no id for it, and the same bytes are not sent again."""
    front = front_of(storage=storage)
    for _ in range(2):
        response = post(front)
        assert told(response) == [400, "attachment_refused", "file"]
        assert response.get_json()["error"]["message"] == "Kimi cannot read the file: it is encrypted."
    assert storage.uploads == 1
    assert ids(front) == []


def test_what_is_too_large_for_kimi_is_refused_as_such() -> None:
    """Its limit may be less than ours."""
    front = front_of(storage=FakeStorage(refuse=lambda _content: RequestTooLarge("Too large for Kimi.")))
    assert told(post(front)) == [413, "request_too_large", "file"]
    assert ids(front) == []


def test_an_upload_that_kimi_has_no_time_for_may_be_repeated() -> None:
    """It is no fault of the file."""
    failures: list[GatewayError | None] = [UpstreamBusy("later"), None]
    front = front_of(storage=FakeStorage(refuse=lambda _content: failures.pop(0)))
    response = post(front)
    assert [response.status_code, response.get_json()["error"]["code"]] == [429, "upstream_busy"]
    assert response.headers["Retry-After"] == "30"
    assert ids(front) == []
    upload(front)


@pytest.mark.parametrize("file_id", ["file-1", "a b", "..", "%2e%2e", "x" * 500, "世", "'; drop table", "kimi-1"])
@pytest.mark.parametrize("method", ["get", "delete"])
def test_there_is_no_such_file(method: str, file_id: str) -> None:
    """Whatever the id looks like; Kimi's own ids are none."""
    front = front_of()
    upload(front)
    call: Callable[..., TestResponse] = getattr(front.client(), method)
    response = call(f"{PATH}/{file_id}", headers=bearer())
    assert told(response)[0] == 404
    assert response.get_json()["error"]["code"] in {"file_not_found", "not_found"}
    assert len(ids(front)) == 1


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("put", PATH, [405, "method_not_allowed", None]),
        ("delete", PATH, [405, "method_not_allowed", None]),
        ("post", f"{PATH}/file-1", [405, "method_not_allowed", None]),
        ("get", f"{PATH}/file-1/content", [404, "not_found", None]),
        ("get", f"{PATH}/", [404, "not_found", None]),
    ],
)
def test_other_calls_are_refused_in_the_vendor_s_shape(method: str, path: str, expected: list[object]) -> None:
    """As every path is."""
    call: Callable[..., TestResponse] = getattr(front_of().client(), method)
    assert told(call(path, headers=bearer())) == expected


class Slow(FakeStorage):
    """A Kimi that reads for long; `began` is set when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()

    def await_read(
        self,
        account: Account,
        file_id: str,
        cancellation: Cancellation,
        *,
        is_image: bool,
        within: float = READ_WITHIN,
    ) -> None:
        self.began.set()
        cancellation.wait(SOON)


def test_a_client_that_hangs_up_is_not_waited_for() -> None:
    """Its file would never be asked about: it has no id."""
    server, client = socket.socketpair()
    storage = Slow()
    front = front_of(storage=storage)

    def leave() -> None:
        storage.began.wait(SOON)
        client.close()

    threading.Thread(target=leave, daemon=True).start()
    with server:
        began = time.monotonic()
        response = front.client().post(
            PATH,
            data=raw_form(NAMED),
            content_type=FORM,
            headers=bearer(),
            environ_overrides={"gunicorn.socket": server},
        )
        assert time.monotonic() - began < SOON / 2
    assert response.status_code == 499
    assert ids(front) == []


def test_an_upload_is_told_in_the_log_without_its_content(caplog: pytest.LogCaptureFixture) -> None:
    """Neither name nor bytes nor token."""
    caplog.set_level(logging.DEBUG)
    post(front_of(), PDF, "my secret plan.pdf").close()
    everything = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "kimi_gateway.request" in everything
    for secret in ("secret plan", "a document", CLIENT, parse_credentials(CLIENT)[0].account):
        assert secret not in everything
