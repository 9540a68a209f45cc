"""A client of raw bytes: it knows HTTP and how frames are laid out, and nothing else."""

import copy
import http.client
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from emulator.client import EmulatorControl

UPLOAD = "/apiv2-files/file/upload"
PROGRESS = "/apiv2-files/kimi.gateway.file.v1.FileService/GetFileParseProgress"
CHAT = "/apiv2/kimi.gateway.chat.v1.ChatService/Chat"
STREAM = {"content-type": "application/connect+json"}
Frame = tuple[int, Any]


def frame(value: object) -> bytes:
    """Put a JSON value into the one frame of a request."""
    payload = json.dumps(value).encode()
    return struct.pack(">BI", 0, len(payload)) + payload


def split(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut a stream into (flags, payload); a rest that is no whole frame is dropped."""
    while len(body) >= 5:
        flags, length = struct.unpack_from(">BI", body)
        if len(body) < 5 + length:
            return
        yield flags, body[5 : 5 + length]
        body = body[5 + length :]


def frames(body: bytes) -> list[Frame]:
    """Decode a stream of plain JSON frames."""
    return [(flags, json.loads(payload)) for flags, payload in split(body)]


def sse(body: bytes) -> list[Any]:
    """Decode the data lines of a legacy stream."""
    lines = body.decode().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def question(text: str = "Hi", **fields: object) -> dict[str, Any]:
    """Build a Chat request for a new chat; `message` fields go in by their own name."""
    message: dict[str, object] = {
        "role": "user",
        "blocks": [{"message_id": "", "text": {"content": text}}],
        "scenario": "SCENARIO_K2D5",
        **{key: fields.pop(key) for key in ("parent_id", "id") if key in fields},
    }
    return {"scenario": "SCENARIO_K2D5", "tools": [], "message": message, **fields}


def answer_text(events: list[Frame]) -> str:
    """Put together the text of an answer by the rules of set and append."""
    text = ""
    for _, event in events:
        if event.get("mask") == "block.text":
            text = event["block"]["text"]["content"]
        if event.get("mask") == "block.text.content" and event["op"] == "append":
            text += event["block"]["text"]["content"]
    return text


def part(
    data: bytes, name: str | None = "a.txt", content_type: str | None = "text/plain", field: str = "file"
) -> bytes:
    """Build one part of a form, without a boundary."""
    named = "" if name is None else f'; filename="{name}"'
    typed = "" if content_type is None else f"Content-Type: {content_type}\r\n"
    return f'Content-Disposition: form-data; name="{field}"{named}\r\n{typed}\r\n'.encode() + data


def form(*parts: bytes, boundary: str = "----b0undary") -> tuple[bytes, dict[str, str]]:
    """Put parts together to a body, and give the header that belongs to it."""
    line = f"--{boundary}".encode()
    body = b"".join(line + b"\r\n" + item + b"\r\n" for item in parts) + line + b"--\r\n"
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


@dataclass(frozen=True)
class Answered:
    """A complete HTTP answer. `whole` is false when the body broke off."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool = True

    @property
    def json(self) -> Any:  # noqa: ANN401 -- an answer may hold anything
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def frames(self) -> list[Frame]:
        """The body as frames."""
        return frames(self.body)

    @property
    def events(self) -> list[Any]:
        """The body as legacy events."""
        return sse(self.body)


class Raw:
    """Talks to one emulator as one account."""

    def __init__(self, control: EmulatorControl, token: str) -> None:
        self.host = control.base_url.removeprefix("http://")
        self.token = token

    @contextmanager
    def open(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPConnection]:
        """Send a request and leave the answer unread."""
        connection = http.client.HTTPConnection(self.host, timeout=5)
        bearer = {"authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            connection.request(method, path, body, {**bearer, **headers})
            yield connection
        finally:
            connection.close()

    @contextmanager
    def streaming(self, request: object = None) -> Iterator[http.client.HTTPResponse]:
        """Ask, and hand over the answer as soon as its headers are there."""
        body = frame(request or question())
        with self.open("POST", CHAT, body, STREAM) as connection, connection.getresponse() as response:
            yield response

    def ask(self, text: str = "Hi", **fields: object) -> Answered:
        """Ask in a new chat, or in an old one by `chat_id`."""
        return self.send("POST", CHAT, frame(question(text, **fields)), STREAM)

    def call(self, name: str, **fields: object) -> Answered:
        """Make a unary call, named from its service on."""
        body = json.dumps(fields).encode()
        return self.send("POST", f"/apiv2/{name}", body, {"content-type": "application/json"})

    def legacy(self, method: str, path: str, **fields: object) -> Answered:
        """Make a call of the legacy site."""
        body = json.dumps(fields).encode() if fields else None
        return self.send(method, path, body, {"content-type": "application/json"})

    def upload(self, data: bytes, name: str = "a.txt", content_type: str = "text/plain") -> Answered:
        """Upload a file to the Connect site."""
        return self.send("POST", UPLOAD, *form(part(data, name, content_type)))

    def progress(self, *ids: str) -> Answered:
        """Ask how far the parsing is."""
        body = json.dumps({"file_ids": ids}).encode()
        return self.send("POST", PROGRESS, body, {"content-type": "application/json"})

    def pre_sign(self, name: str = "a.pdf", action: str = "file") -> Answered:
        """Ask the legacy site for an address to upload to."""
        return self.legacy("POST", "/api/pre-sign-url", action=action, name=name)

    def put(self, url: str, data: bytes, content_type: str = "application/pdf") -> Answered:
        """Put bytes to a pre-signed address, without a token."""
        path = url.removeprefix(f"http://{self.host}")
        stranger = copy.copy(self)
        stranger.token = ""
        return stranger.send("PUT", path, data, {"content-type": content_type})

    def register(self, granted: Mapping[str, str], kind: str = "file", name: str = "a.pdf") -> Answered:
        """Make a file of what was put."""
        key = "object_name" if kind == "file" else "file_id"
        return self.legacy("POST", "/api/file", type=kind, name=name, **{key: granted[key]})

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answered:
        """Send a request and read the answer to its end, or as far as it goes."""
        with (
            self.open(method, path, body, headers) as connection,
            connection.getresponse() as response,
        ):
            received, whole = b"", True
            try:
                while piece := response.read1(65536):
                    received += piece
            except (http.client.IncompleteRead, ConnectionError):
                whole = False
            named = {key.lower(): value for key, value in response.getheaders()}
            return Answered(response.status, named, received, whole)
