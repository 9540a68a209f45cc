"""Attachments as they should not be: refused with the part's name, before anything of them is anywhere (issue 4).

Nothing is left in Kimi's storage or on disk, no chat is opened, and nobody connects to an address that is closed. The
servers that are merely slow are in test_pulled_plug.
"""

import base64
import errno
import gzip
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from openai import APIStatusError

from emulator.client import EmulatorControl
from tests.e2e.attachments import MIB, PDF, PNG, Part, Sample, asking_about, document, file, image, on_the_web, picture
from tests.e2e.conftest import JSON_LIMIT, QUICK, spooling
from tests.e2e.processes import needs_proc, spooled
from tests.e2e.support import Door, Gateway, Guest, Reply, entered, until
from tests.e2e.web_server import WebServer, endless, page, redirect, serving_web, short

pytestmark = [pytest.mark.e2e, needs_proc, pytest.mark.usefixtures("endless_downloads")]

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

LARGEST = 2 * MIB
"""MAX_UPLOAD_BYTES here."""

OPEN, CLOSED = "127.0.0.3", "127.0.0.1"
"""The addresses of two web servers: URLs may lead to the one, and to nowhere else on this machine."""

HTML = b"<!DOCTYPE html><html><body>Please log in.</body></html>"
PLACE = "messages[0].content[1]"
MOST_FILES = 50


@dataclass(frozen=True)
class House:
    """A door of a gateway whose temporary files are in a folder, and the two web servers."""

    door: Door
    folder: Path
    web: WebServer
    closed: WebServer

    def refused(self, messages: object, *, stream: bool = False) -> tuple[int, str, str | None]:
        """Ask; give status, code and param of the refusal, and check that nothing is left of the request."""
        reply = self.door.whole(messages=messages, stream=stream)
        return self.left_nothing(reply)

    def left_nothing(self, reply: Reply) -> tuple[int, str, str | None]:
        """Check that nothing is left of a request that was refused; give status, code and param."""
        error = reply.error
        assert error["type"] == "invalid_request_error"
        assert reply.headers["x-should-retry"] == "false"
        assert (self.door.guest.files(), self.door.guest.uploads(), self.door.guest.chats()) == ([], [], [])
        workers = self.door.gateway.server.worker_pids
        assert until(lambda: not spooled(workers, self.folder)), spooled(workers, self.folder)
        assert self.closed.connections == 0
        return reply.status, error["code"], error["param"]


@pytest.fixture(scope="module")
def open_web() -> Iterator[WebServer]:
    """Run a web server that URLs may lead to."""
    try:
        server = serving_web(OPEN)
        with server as web:
            yield web
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        pytest.skip(f"{OPEN} is no address of this system")


@pytest.fixture(scope="module")
def closed_web() -> Iterator[WebServer]:
    """Run a web server that no URL may lead to: on port 80 if that may be had, for others are closed by themselves."""
    with ExitStack() as stack:
        for port in (80, 0):
            with suppress(OSError):
                yield stack.enter_context(serving_web(CLOSED, port))
                return


@pytest.fixture(scope="module")
def guarded(
    kimi: EmulatorControl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, tuple[Gateway, Path]]]:
    """Run gateways that take small files, and fetch from one address of this machine."""
    settings = {
        "DOWNLOAD_ALLOW_CIDRS": f"{OPEN}/32",
        "MAX_UPLOAD_BYTES": str(LARGEST),
        "MAX_JSON_BYTES": JSON_LIMIT,
        "CONTINUITY": "off",
    }
    with spooling(kimi.base_url, tmp_path_factory, **settings) as gateways:
        yield gateways


@pytest.fixture(params=["connect", "rest"])
def house(
    request: pytest.FixtureRequest,
    guarded: Mapping[str, tuple[Gateway, Path]],
    guest: Guest,
    open_web: WebServer,
    closed_web: WebServer,
) -> Iterator[House]:
    """Enter over each protocol in turn."""
    gateway, folder = guarded[request.param]
    with entered(gateway, guest, guest.refresh_token) as door:
        yield House(door, folder, open_web, closed_web)


def url_image(url: object) -> Part:
    """A picture behind a URL."""
    return {"type": "image_url", "image_url": {"url": url}}


def url_file(url: object) -> Part:
    """A document behind a URL, as the seed takes it."""
    return {"type": "file", "file_url": {"url": url}}


def data_file(data: str, name: object = "report.pdf") -> Part:
    """A document in base64."""
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def encoded(data: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(data).decode()


BAD_PARTS: Mapping[str, Part] = {
    "base64 with other letters": data_file("data:application/pdf;base64,JVBERi0xLjcK!!!!"),
    "base64 that is too short": url_image("data:image/png;base64,iVBORw0KG"),
    "base64 of other scripts": data_file("JVBERi0xLjcKé"),
    "base64 with its end in the middle": data_file("JVBE==RRi0xLjcK"),
    "base64 that is none": url_image("data:image/png;base64,%%%"),
    "base64 that is long, and bad at its end": data_file("A" * 1_000_000 + "!"),
    "no comma": url_image("data:image/png;base64"),
    "an endless head": url_image("data:" + "a" * 100_000 + ",x"),
    "a 0-byte image": url_image("data:image/png;base64,"),
    "a 0-byte image in plain": url_image("data:image/png,"),
    "an empty file": data_file("data:application/pdf;base64,"),
    "an empty text": data_file(""),
    "only white space": data_file(" \n\t "),
    "a page as a picture": url_image(f"data:image/png;base64,{encoded(HTML)}"),
    "text as a picture": url_image("data:image/png,hello"),
    "a page as a document": data_file(encoded(HTML)),
    "text as a document": data_file(f"data:application/pdf;base64,{encoded(b'hello')}"),
    "text as an Office document": data_file(encoded(b"hello"), "report.docx"),
    "a picture that is a document": data_file(encoded(document().data), "photo.png"),
    "a picture by its name alone": data_file(encoded(HTML), "photo.jpg"),
    "scripts": url_image("data:text/html;base64,PGI+"),
    "no URL": url_image(5),
    "an empty URL": url_image(""),
    "nothing": {"type": "image_url"},
    "null": {"type": "image_url", "image_url": None},
    "a list": {"type": "file", "file": ["a"]},
    "a number as data": {"type": "file", "file": {"file_data": 5}},
    "a number as an id": {"type": "file", "file": {"file_id": 5}},
    "an id with a path": {"type": "file", "file": {"file_id": "../../etc/passwd"}},
    "a local file": url_file("file:///etc/passwd"),
    "gopher": url_image("gopher://127.0.0.1:6379/_FLUSHALL"),
    "ftp": url_file("ftp://example.com/a.pdf"),
    "javascript": url_image("javascript:alert(1)"),
    "sound": {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
}


@pytest.mark.parametrize("name", BAD_PARTS)
@BOTH_WAYS
def test_bad_parts(house: House, name: str, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """What is wrong by itself is refused by the name of its part."""
    assert house.refused(asking_about(BAD_PARTS[name]), stream=stream) == (400, "attachment_refused", PLACE)


BAD_NAMES = [
    "../../etc/passwd",
    "a/b.pdf",
    "C:\\report.pdf",
    "..",
    "a\nb.pdf",
    "a\x00.pdf",
    "a\x1b[31m.pdf",
    "fdp.\u202etxt",
    5,
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
@pytest.mark.parametrize("where", ["body", "url"])
def test_bad_names(house: House, name: object, where: str) -> None:
    """A name with path parts or control characters is refused, wherever the bytes are, and not cleaned in silence."""
    sample = document()
    url = on_the_web(house.web, sample)
    part = (
        {"type": "input_file", "file_url": url, "filename": name} if where == "url" else data_file(sample.base64, name)
    )
    assert house.refused(asking_about(part)) == (400, "attachment_refused", PLACE)
    assert [path for path, _ in house.web.asked if url.endswith(path)] == []


def _garbage(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"220 mail.example.com ESMTP\r\n" * 3)


Serve = Callable[[WebServer], str]


def at(path: str, answer: Callable[[BaseHTTPRequestHandler], None]) -> Serve:
    """Serve one path."""
    return lambda web: web.put(path, answer)


def chain(length: int, location: str | None = None) -> Serve:
    """Serve so many redirects, that lead to a location or else to a picture."""

    def serve(web: WebServer) -> str:
        following = location or on_the_web(web, picture())
        for step in range(length):
            following = web.put(
                f"/step-{step}-{secrets.token_hex(3)}", redirect(following, (301, 302, 303, 307, 308)[step % 5])
            )
        return following

    return serve


GZIPPED = {"Content-Encoding": "gzip"}
BAD_SITES: Mapping[str, tuple[Serve, int, str]] = {
    "a page": (at("/photo.png", page(HTML, "text/html")), 400, "attachment_refused"),
    "a page that says it is none": (at("/photo.png", page(HTML, PNG)), 400, "attachment_refused"),
    "empty": (at("/empty.png", page(b"", PNG)), 400, "attachment_refused"),
    "not there": (at("/gone.png", page(picture().data, PNG, 404)), 400, "attachment_refused"),
    "for others": (at("/secret.png", page(picture().data, PNG, 401)), 400, "attachment_refused"),
    "out of order": (at("/broken.png", page(picture().data, PNG, 503)), 400, "attachment_refused"),
    "a part": (at("/part.png", page(picture().data, PNG, 206)), 400, "attachment_refused"),
    "compressed": (
        at("/packed.png", page(gzip.compress(picture().data), PNG, headers=GZIPPED)),
        400,
        "attachment_refused",
    ),
    "a bomb": (
        at("/bomb.png", page(gzip.compress(bytes(50 * MIB), 1), PNG, headers=GZIPPED)),
        400,
        "attachment_refused",
    ),
    "cut": (at("/cut.png", short(picture().data, PNG, 2048)), 400, "attachment_refused"),
    "another protocol": (at("/mail.png", _garbage), 400, "attachment_refused"),
    "closed": (lambda _: f"http://{OPEN}:9/photo.png", 400, "attachment_refused"),
    "four redirects": (chain(4), 400, "attachment_refused"),
    "redirects to nowhere": (at("/nowhere", redirect("")), 400, "attachment_refused"),
    "redirects to itself": (at("/loop", redirect("/loop")), 400, "attachment_refused"),
    "redirects to a file": (chain(1, "file:///etc/passwd"), 400, "attachment_refused"),
    "redirects to the data": (chain(1, picture().data_url), 400, "attachment_refused"),
    "too large": (at("/large.png", page(picture(LARGEST + 1).data, PNG)), 413, "request_too_large"),
    "too large by its word": (at("/lie.png", short(picture().data, PNG, 10**12)), 413, "request_too_large"),
    "endless": (at("/endless.png", endless(picture().data, PNG)), 413, "request_too_large"),
}


@pytest.mark.parametrize("name", BAD_SITES)
@BOTH_WAYS
def test_bad_sites(house: House, name: str, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """What a URL leads to is looked at, counted, and not believed."""
    serve, status, code = BAD_SITES[name]
    url = serve(house.web)
    assert house.refused(asking_about(url_image(url)), stream=stream) == (status, code, PLACE)


@pytest.mark.parametrize("content_type", ["text/html", PDF])
def test_a_page_as_a_document(house: House, content_type: str) -> None:
    """A page behind the URL of a PDF is most often a page to log in on, whatever its server calls it."""
    url = house.web.put("/paper.pdf", page(HTML, content_type))
    assert house.refused(asking_about(url_file(url))) == (400, "attachment_refused", PLACE)


CLOSED_URLS = [
    "http://{host}/",
    "http://{host}:{port}/photo.png",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://localhost:{port}/",
    "http://localhost.:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://user@{host}:{port}/",
    "http://{open}@{host}:{port}/",
    "http://{open}#@{host}:{port}/",
    "http://{open}\\@{host}:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://{host}%00.example.com:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/machine?comp=goalstate",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "https://{host}:{port}/",
]


def closed_url(house: House, template: str) -> str:
    """A URL that leads, or would have led, to the closed server."""
    port = urlsplit(house.closed.url).port
    return template.format(host=CLOSED, port=port, open=OPEN)


@pytest.mark.parametrize("template", CLOSED_URLS, ids=ascii)
def test_closed_addresses(house: House, template: str) -> None:
    """No URL leads to an address that is closed, however it is written; nobody has connected to it."""
    part = url_image(closed_url(house, template))
    assert house.refused(asking_about(part)) == (400, "attachment_refused", PLACE)


@pytest.mark.parametrize("template", CLOSED_URLS, ids=ascii)
def test_redirects_to_closed_addresses(house: House, template: str) -> None:
    """A server that may be asked cannot lead there either, in whichever step."""
    location = closed_url(house, template)
    for steps in (1, 3):
        url = chain(steps, location)(house.web)
        assert house.refused(asking_about(url_file(url))) == (400, "attachment_refused", PLACE)


def test_a_closed_server_hears_who_connects(reaching_connect_gateway: Gateway, guest: Guest) -> None:
    """The check that nobody has connected could fail: where the address is open, the server knows of it."""
    with serving_web(CLOSED) as other:
        part = url_image(other.url + "/photo.png")
        reply = reaching_connect_gateway.chat(guest.access_token, messages=asking_about(part))
        assert (reply.status, other.connections) == (400, 1)


@BOTH_WAYS
def test_an_attachment_that_is_too_large(house: House, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """One byte more than MAX_UPLOAD_BYTES is refused, one byte less is not."""
    for part in (image(picture(LARGEST + 1)), file(document(LARGEST + 1))):
        assert house.refused(asking_about(part), stream=stream) == (413, "request_too_large", PLACE)
    reply = house.door.whole(messages=asking_about(image(picture(LARGEST))))
    assert reply.json()["choices"][0]["message"]["content"] == QUICK


@BOTH_WAYS
def test_attachments_that_are_too_large_together(house: House, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Of many large ones the one is named with which they are too many; of URLs, the one that comes last."""
    large = [picture(LARGEST) for _ in range(5)]
    assert house.refused(asking_about(*map(image, large)), stream=stream) == (
        413,
        "request_too_large",
        "messages[0].content[5]",
    )
    parts = [url_image(on_the_web(house.web, sample)) for sample in large]
    status, code, param = house.refused(asking_about(*parts), stream=stream)
    assert (status, code) == (413, "request_too_large")
    assert param in {f"messages[0].content[{number}]" for number in range(1, 6)}


@BOTH_WAYS
def test_a_hundred_files(house: House, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """The first of those that are too many is named; the same picture a hundred times is one."""
    parts = [image(picture(64)) for _ in range(100)]
    beyond = f"messages[0].content[{MOST_FILES + 1}]"
    assert house.refused(asking_about(*parts), stream=stream) == (400, "attachment_refused", beyond)
    assert house.door.whole(messages=asking_about(*parts[:1] * 100)).status == 200


@pytest.mark.parametrize("bad", ["body", "url", "id"])
@BOTH_WAYS
def test_one_bad_among_good(house: House, bad: str, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """It is named, wherever it stands, and none of the good ones is sent to Kimi."""
    parts = {
        "body": (url_image("data:image/png,no"), (400, "attachment_refused")),
        "url": (url_file(house.web.put("/bad.pdf", page(HTML, PDF))), (400, "attachment_refused")),
        "id": ({"type": "file", "file": {"file_id": "file-0"}}, (404, "file_not_found")),
    }
    part, (status, code) = parts[bad]
    good = [image(picture()), file(document()), url_image(on_the_web(house.web, picture())), image(picture(MIB))]
    for place in (0, 2, 4):
        mixed = [*good[:place], part, *good[place:]]
        refusal = house.refused(asking_about(*mixed), stream=stream)
        assert refusal == (status, code, f"messages[0].content[{place + 1}]")
    earlier = [*asking_about(part), {"role": "assistant", "content": "A cat."}, *asking_about(*good)]
    assert house.refused(earlier, stream=stream) == (status, code, PLACE)


def form(*parts: tuple[str, bytes], boundary: str = "XX", end: str = "--XX--\r\n") -> tuple[bytes, dict[str, str]]:
    """A multipart form of parts with these heads, and its headers."""
    body = b"".join(f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts)
    return body + end.encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def field(name: str, filename: str | None = None) -> str:
    """The head of a part."""
    named = "" if filename is None else f'; filename="{filename}"'
    return f'Content-Disposition: form-data; name="{name}"{named}'


PAPER = document().data
BAD_FORMS: Mapping[str, tuple[Sequence[tuple[str, bytes]], tuple[int, str, str | None]]] = {
    "too large": ([(field("file", "a.pdf"), document(LARGEST + 1).data)], (413, "request_too_large", "file")),
    "far too large": ([(field("file", "a.pdf"), document(2 * LARGEST).data)], (413, "request_too_large", "file")),
    "empty": ([(field("file", "a.pdf"), b"")], (400, "attachment_refused", "file")),
    "a page": ([(field("file", "a.pdf"), HTML)], (400, "attachment_refused", "file")),
    "text as a picture": ([(field("file", "a.png"), b"hello")], (400, "attachment_refused", "file")),
    "a path": ([(field("file", "../../x.pdf"), PAPER)], (400, "attachment_refused", "file")),
    "a Windows path": ([(field("file", "papers\\\\x.pdf"), PAPER)], (400, "attachment_refused", "file")),
    "a control character": ([(field("file", "a\x07b.pdf"), PAPER)], (400, "attachment_refused", "file")),
    "no file": ([(field("purpose"), b"user_data")], (400, "invalid_request", "file")),
    "another field": ([(field("document", "a.pdf"), PAPER)], (400, "invalid_request", "file")),
    "a file without a name": ([(field("file"), PAPER[:9])], (400, "invalid_request", "file")),
    "two files": (
        [(field("file", "a.pdf"), PAPER), (field("file", "b.pdf"), PAPER)],
        (400, "invalid_request", "file"),
    ),
    "an odd purpose": (
        [(field("file", "a.pdf"), PAPER), (field("purpose"), b"x" * 1000)],
        (400, "invalid_request", "purpose"),
    ),
    "many fields": (
        [*[(field(f"f{number}"), b"x") for number in range(100)], (field("file", "a.pdf"), PAPER)],
        (413, "request_too_large", None),
    ),
    "a long field": (
        [(field("purpose"), b"x" * MIB), (field("file", "a.pdf"), PAPER)],
        (413, "request_too_large", None),
    ),
    "a long head": ([(field("file", "a" * 500_000 + ".pdf"), PAPER)], (413, "request_too_large", None)),
}


@pytest.mark.parametrize("name", BAD_FORMS)
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_bad_forms(house: House, name: str, chunked: bool) -> None:  # noqa: FBT001 # a parameter
    """POST /v1/files refuses what is wrong with a file, or with the form, with or without a Content-Length."""
    parts, refusal = BAD_FORMS[name]
    body, headers = form(*parts)
    assert house.left_nothing(sent(house, body, headers, chunked=chunked)) == refusal


def sent(house: House, body: bytes, headers: Mapping[str, str], *, chunked: bool) -> Reply:
    """Send a form to /v1/files, and read the answer also where the server reads no further."""
    if not chunked:
        return house.door.gateway.request("POST", "/v1/files", token=house.door.token, body=body, headers=headers)
    pieces = [body[start : start + 100_000] for start in range(0, len(body), 100_000)]
    framed = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"
    head = {**headers, "Transfer-Encoding": "chunked"}
    return house.door.gateway.request("POST", "/v1/files", token=house.door.token, body=framed, headers=head)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "application/json"}, 415, "unsupported_media_type"),
        ({"Content-Type": "multipart/form-data"}, 415, "unsupported_media_type"),
        ({"Content-Type": "multipart/form-data; boundary=other"}, 400, "invalid_request"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
    ],
    ids=str,
)
def test_bad_heads_of_forms(house: House, headers: dict[str, str], status: int, code: str) -> None:
    """What the headers say of a form has to be true."""
    body, right = form((field("file", "a.pdf"), PAPER))
    assert house.left_nothing(sent(house, body, {**right, **headers}, chunked=False))[:2] == (status, code)


def test_a_form_that_is_too_large_for_the_sdk(house: House) -> None:
    """The SDK hears of it though the server does not read such a form, and does not try again."""
    for size in (LARGEST + 1, 20 * LARGEST):
        sample = document(size)
        with pytest.raises(APIStatusError) as error:
            house.door.client.files.create(file=(sample.name, sample.data, sample.content_type), purpose="user_data")
        assert (error.value.status_code, error.value.code) == (413, "request_too_large")


def test_a_form_that_breaks_off(house: House) -> None:
    """Without its last boundary a form is none: a file may be cut."""
    body, headers = form((field("file", "a.pdf"), PAPER), end="")
    assert house.left_nothing(sent(house, body, headers, chunked=False))[:2] == (400, "invalid_request")


def test_no_request_was_a_500(guarded: Mapping[str, tuple[Gateway, Path]]) -> None:
    """Up to here no request has met a defect, by the servers' own logs."""
    for gateway, _ in guarded.values():
        assert "internal_error" not in gateway.server.log
        assert "Traceback" not in gateway.server.log


def test_nothing_of_an_attachment_is_logged(house: House) -> None:
    """Neither names nor URLs nor bytes are in the log, whatever becomes of the request."""
    words = [f"canary{secrets.token_hex(8)}" for _ in range(4)]
    url = house.web.put(f"/{words[0]}.png", page(picture().data, PNG))
    bad = house.web.put(f"/{words[1]}.png", page(HTML, PNG))
    text = Sample(words[2].encode(), f"{words[3]}.txt", "text/plain")
    identities = []
    for parts in ([url_image(f"{url}?signature={words[0]}"), file(text)], [url_image(bad)], [data_file("!", words[3])]):
        reply = house.door.whole(messages=asking_about(*parts))
        identities.append(reply.headers["x-request-id"])
    assert until(lambda: all(house.door.gateway.log_lines(identity) for identity in identities))
    log = house.door.gateway.server.log
    assert [word for word in words if word in log] == []
    assert json.loads(log.splitlines()[-1])
