"""Attachments of the end-to-end tests: bytes of each kind, and every shape in which clients send them."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from emulator.client import FileView
from tests.e2e.support import Door
from tests.e2e.web_server import WebServer, page

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
PDF_HEAD = b"%PDF-1.7\n"
MIB = 1024 * 1024

PNG, PDF = "image/png", "application/pdf"

Part = Mapping[str, object]


@dataclass(frozen=True)
class Sample:
    """Bytes with a name and a type."""

    data: bytes
    name: str
    content_type: str

    @property
    def sha256(self) -> str:
        """The digest of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def base64(self) -> str:
        """The bytes in base64."""
        return base64.b64encode(self.data).decode()

    @property
    def data_url(self) -> str:
        """The bytes as a data URL."""
        return f"data:{self.content_type};base64,{self.base64}"

    @property
    def nameless(self) -> str:
        """What it is called on Kimi's side if nobody has named it."""
        return f"image-{self.sha256[:8]}.png" if self.content_type == PNG else f"file-{self.sha256[:8]}.pdf"


def picture(size: int = 1024, name: str = "photo.png") -> Sample:
    """A picture that there was never before."""
    return Sample(PNG_HEAD + secrets.token_bytes(size - len(PNG_HEAD)), name, PNG)


def document(size: int = 1024, name: str = "report.pdf") -> Sample:
    """A document that there was never before."""
    return Sample(PDF_HEAD + secrets.token_bytes(size - len(PDF_HEAD)), name, PDF)


def script(size: int, name: str = "tool.py") -> Sample:
    """A text that Kimi may not take by its name."""
    line = f"print('{secrets.token_hex(8)}')\n"
    return Sample((line * (size // len(line) + 1))[:size].encode(), name, "text/x-python")


@dataclass(frozen=True)
class Form:
    """A shape of a part, for an image or a file.

    `write` makes it of a sample and of what leads to its bytes: by `reached` nothing (they are in the body), a url or
    an id. `named` says that it has a name to give.
    """

    kind: Literal["image", "file"]
    reached: Literal["body", "url", "id"]
    write: Callable[[Sample, str], Part]
    named: bool = True

    def sample(self, size: int = 1024) -> Sample:
        """Bytes for it that there were never before."""
        return picture(size) if self.kind == "image" else document(size)

    def part(self, sample: Sample, door: Door, web: WebServer) -> Part:
        """The part, with its bytes where it says that they are."""
        if self.reached == "url":
            return self.write(sample, on_the_web(web, sample))
        return self.write(sample, uploaded(door, sample) if self.reached == "id" else "")


def on_the_web(web: WebServer, sample: Sample) -> str:
    """Serve a sample; give its URL."""
    return web.put(f"/{secrets.token_hex(4)}/{sample.name}", page(sample.data, sample.content_type))


def uploaded(door: Door, sample: Sample) -> str:
    """Upload a sample through the SDK; give its id."""
    sent = (sample.name, sample.data, sample.content_type)
    return door.client.files.create(file=sent, purpose="user_data").id


FORMS: Mapping[str, Form] = {
    "image_url-data": Form(
        "image",
        "body",
        lambda s, _: {"type": "image_url", "image_url": {"url": s.data_url, "detail": "high"}},
        named=False,
    ),
    "image_url-string": Form("image", "body", lambda s, _: {"type": "image_url", "image_url": s.data_url}, named=False),
    "image_url-http": Form("image", "url", lambda _, url: {"type": "image_url", "image_url": {"url": url}}),
    "input_image-data": Form(
        "image", "body", lambda s, _: {"type": "input_image", "image_url": s.data_url}, named=False
    ),
    "input_image-http": Form("image", "url", lambda _, url: {"type": "input_image", "image_url": url}),
    "input_image-id": Form("image", "id", lambda _, i: {"type": "input_image", "file_id": i}),
    "file-base64": Form(
        "file", "body", lambda s, _: {"type": "file", "file": {"filename": s.name, "file_data": s.base64}}
    ),
    "file-data": Form(
        "file", "body", lambda s, _: {"type": "file", "file": {"filename": s.name, "file_data": s.data_url}}
    ),
    "file-id": Form("file", "id", lambda _, i: {"type": "file", "file": {"file_id": i}}),
    "file_url-http": Form("file", "url", lambda _, url: {"type": "file", "file_url": {"url": url}}),
    "file_url-data": Form("file", "body", lambda s, _: {"type": "file", "file_url": {"url": s.data_url}}, named=False),
    "input_file-data": Form(
        "file", "body", lambda s, _: {"type": "input_file", "filename": s.name, "file_data": s.data_url}
    ),
    "input_file-http": Form("file", "url", lambda _, url: {"type": "input_file", "file_url": url}),
    "input_file-id": Form("file", "id", lambda _, i: {"type": "input_file", "file_id": i}),
}


def asking_about(*parts: Part, text: str = "What is this?") -> list[dict[str, object]]:
    """The messages of a question with attachments."""
    return [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]


def image(sample: Sample) -> Part:
    """A picture within the request."""
    return FORMS["image_url-data"].write(sample, "")


def file(sample: Sample) -> Part:
    """A document within the request."""
    return FORMS["file-base64"].write(sample, "")


def essence(view: FileView) -> tuple[str, int, str, str]:
    """What a file on Kimi's side is."""
    return view["sha256"], view["size"], view["name"], view["content_type"]


def expected(sample: Sample, *, named: bool = True) -> tuple[str, int, str, str]:
    """What a sample should be there."""
    return sample.sha256, len(sample.data), sample.name if named else sample.nameless, sample.content_type
