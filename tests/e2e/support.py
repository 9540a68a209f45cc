"""What the end-to-end tests share: guests of the emulator, doors of the gateway, raw HTTP.

Nothing here is faked: gunicorn with its workers, the official SDK and the emulator run as processes of their own and
meet over loopback. Tests keep apart by accounts, so none of them has to reset anything.
"""

import base64
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from openai import DefaultHttpxClient, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from emulator.client import AccountTokens, ChatView, EmulatorControl, FileView, LogEntry
from scripts.serving import Server

WIRE = Path(__file__).resolve().parents[1] / "wire"
PATIENCE = 15.0
"""Seconds that a test waits for what must come to pass after an answer."""

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""All is plain HTTP here, and loading the usual certificates for each client takes longer than most tests."""

_T = TypeVar("_T")
_POLL = 0.04
_COMPLETIONS = ("ChatService/Chat", "/completion/stream")
_UPLOADS = ("/apiv2-files/file/upload", "/prod-chat-kimi/")


def until(condition: Callable[[], bool], timeout: float = PATIENCE) -> bool:
    """Wait for a condition; tell whether it came true in time."""
    deadline = time.monotonic() + timeout
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(_POLL)
    return true


def at_once(*calls: Callable[[], _T]) -> list[_T]:
    """Do all these at the same time, each in a thread; give their results in the same order."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda call: call(), calls))


class Guest:
    """One account of the emulator, and all that the emulator saw of it."""

    def __init__(self, kimi: EmulatorControl, tokens: AccountTokens) -> None:
        self.name = tokens.name
        self.access_token = tokens.access_token
        self.refresh_token = tokens.refresh_token
        self.legacy_token = tokens.legacy_token
        self._kimi = kimi
        self._subject = _subject(tokens.access_token)

    def plan(self, *answers: Mapping[str, object], repeat: bool = False) -> None:
        """Order the answers of the next completions."""
        self._kimi.plan(*answers, account=self.name, repeat=repeat)

    def change(self, **settings: object) -> None:
        """Change the account itself."""
        self._kimi.patch_account(self.name, **settings)

    def calls(self, path_end: str = "") -> list[LogEntry]:
        """Every request of this account so far, its refreshes included."""
        return [entry for entry in self._kimi.log() if self._is_mine(entry) and entry["path"].endswith(path_end)]

    def completions(self) -> list[LogEntry]:
        """The requests for an answer."""
        return [entry for entry in self.calls() if entry["path"].endswith(_COMPLETIONS)]

    def asked(self) -> dict[str, Any]:
        """The body of the only request for an answer."""
        (entry,) = self.completions()
        request = entry["request"]
        assert isinstance(request, dict)
        return request

    def asked_text(self) -> str:
        """The user text of the only request for an answer, in either protocol."""
        return text_of(self.asked())

    def asked_texts(self) -> list[str]:
        """The user text of every request for an answer, oldest first."""
        requests = [entry["request"] for entry in self.completions()]
        assert all(isinstance(request, dict) for request in requests)
        return [text_of(request) for request in requests if isinstance(request, dict)]

    def chats(self) -> list[ChatView]:
        """Every chat of this account, deleted ones included."""
        return [chat for chat in self._kimi.chats() if chat["account"] == self.name]

    def all_deleted(self, count: int = 1) -> bool:
        """Wait until the account has so many chats and none is left."""
        return until(lambda: [chat["deleted"] for chat in self.chats()] == [True] * count)

    def left(self) -> list[ChatView]:
        """The chats of this account that are not deleted."""
        return [chat for chat in self.chats() if not chat["deleted"]]

    def files(self) -> list[FileView]:
        """The files of this account that Kimi's side holds, oldest first."""
        return [file for file in self._kimi.files() if file["account"] == self.name]

    def shown(self) -> list[list[str]]:
        """The ids of the files that each question of this account refers to, the oldest question first."""
        return [message["files"] for chat in self.chats() for message in chat["messages"] if message["role"] == "user"]

    def uploads(self) -> list[LogEntry]:
        """The transfers of file bytes to Kimi's side, those that failed and those in progress included."""
        return [entry for entry in self.calls() if entry["path"].startswith(_UPLOADS)]

    def delete_by_hand(self, chat_id: str) -> None:
        """Delete a chat as its owner would in the browser."""
        by_connect = "-" in chat_id  # the legacy site has ids of another look
        path = "/apiv2/kimi.chat.v1.ChatService/DeleteChat" if by_connect else f"/api/chat/{chat_id}"
        parts = urlsplit(self._kimi.base_url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        headers = {"Authorization": f"Bearer {self.access_token}", "Content-Type": "application/json"}
        body = json.dumps({"chat_id": chat_id})
        with closing(connection):
            connection.request("POST" if by_connect else "DELETE", path, body, headers)
            assert connection.getresponse().status == 200

    def _is_mine(self, entry: LogEntry) -> bool:
        if entry["account"] == self.name:
            return True
        request = entry["request"]  # a refresh bears no Authorization: the token in its body tells whose it is
        return isinstance(request, dict) and _subject(str(request.get("refresh_token"))) == self._subject


def _subject(token: str) -> object:
    """Whose token it is, by its own word; None for one that is no JWT."""
    _, _, rest = token.partition(".")
    payload = rest.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"] if payload else None


def text_of(request: Mapping[str, Any]) -> str:
    """The one user text of a completion request."""
    if "message" in request:
        (text,) = [block["text"]["content"] for block in request["message"]["blocks"] if "text" in block]
        return str(text)
    (message,) = request["messages"]
    return str(message["content"])


@dataclass(frozen=True)
class Reply:
    """A whole HTTP answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> dict[str, Any]:
        """The error, which must be in OpenAI's shape and nothing besides."""
        body = self.json()
        assert list(body) == ["error"]
        error: dict[str, Any] = body["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"]
        return error


@dataclass(frozen=True)
class Piece:
    """One line or comment of a stream, and when it came, in seconds since the request."""

    line: str
    at: float

    @property
    def data(self) -> dict[str, Any]:
        """The JSON value of a data line."""
        value = json.loads(self.line.removeprefix("data: "))
        assert isinstance(value, dict)
        return value

    @property
    def content(self) -> str:
        """The text that this line adds to the answer."""
        if not self.line.startswith("data: {"):
            return ""
        choices = self.data.get("choices") or [{}]
        return choices[0].get("delta", {}).get("content") or ""


class RawStream:
    """An answer as it arrives, line by line, and the socket under it."""

    def __init__(self, connection: http.client.HTTPConnection, sock: socket.socket, sent_at: float) -> None:
        self._connection = connection
        self._sock = sock
        self._sent_at = sent_at
        self._response: http.client.HTTPResponse | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()
        self._connection.close()
        self._sock.close()

    @property
    def response(self) -> http.client.HTTPResponse:
        """The head of the answer, waited for."""
        if self._response is None:
            self._response = self._connection.getresponse()
        return self._response

    @property
    def head_at(self) -> float:
        """When the head came; waits for it."""
        assert self.response.status
        return time.monotonic() - self._sent_at

    def pieces(self) -> Iterator[Piece]:
        """The lines that are not empty, until the end of the answer."""
        for line in self.response:
            if text := line.decode().rstrip("\n"):
                yield Piece(text, time.monotonic() - self._sent_at)

    def send_ahead(self, data: bytes) -> None:
        """Send more before the answer has come, as a client that pipelines."""
        self._sock.sendall(data)

    def hang_up(self) -> float:
        """Close the connection as a client that leaves; give the time of day at which it did."""
        self._sock.shutdown(socket.SHUT_RDWR)
        return time.time()


@dataclass(frozen=True)
class Gateway:
    """One running gunicorn."""

    server: Server

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.server.url)
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    def openai(self, token: str, *, max_retries: int = 0, path: str = "/v1") -> OpenAI:
        """The official SDK, which checks all that it is answered; close it after use."""
        return OpenAI(
            base_url=self.server.url + path,
            api_key=token,
            max_retries=max_retries,
            http_client=DefaultHttpxClient(trust_env=False, verify=_NO_AUTHORITIES),
            _strict_response_validation=True,
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request and read the whole answer."""
        with self.stream(method, path, token=token, body=body, headers=headers) as stream:
            response = stream.response
            read = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, read, response.read())

    def chat(self, token: str, **fields: object) -> Reply:
        """Ask for an answer, whole unless `stream=True`."""
        return self.request("POST", "/v1/chat/completions", token=token, body=asking(**fields))

    def chat_stream(self, token: str, **fields: object) -> RawStream:
        """Ask for a streamed answer, or with `stream=False` for one that has not come yet."""
        return self.stream("POST", "/v1/chat/completions", token=token, body=asking(**{"stream": True, **fields}))

    def check(self, token: str) -> dict[str, Any]:
        """What POST /token/check has to say of a token, or of a list of them."""
        reply = self.request("POST", "/token/check", body={"token": token})
        assert reply.status == 200
        return reply.json()

    def stream(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> RawStream:
        """Send one request; its answer is read as it comes. Bytes are sent as they are, all else as JSON."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection(*self.address, timeout=timeout)
        connection.connect()
        sock: socket.socket = connection.sock
        with suppress(BrokenPipeError, ConnectionResetError):  # a server need not read what it refuses
            connection.request(method, path, data, sent)
        return RawStream(connection, sock, time.monotonic())

    def log_lines(self, request_id: str) -> list[dict[str, Any]]:
        """The lines of the log about one request."""
        lines = [json.loads(line) for line in self.server.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("id") == request_id]


def asking(**fields: object) -> dict[str, object]:
    """The body of a chat request."""
    return {"model": "kimi", "messages": [{"role": "user", "content": "Hi"}], **fields}


@dataclass(frozen=True)
class Door:
    """A gateway, a guest, and the credential with which the guest enters."""

    gateway: Gateway
    guest: Guest
    token: str
    client: OpenAI

    def whole(self, **fields: object) -> Reply:
        """An answer as one object."""
        return self.gateway.chat(self.token, **fields)

    def streamed(self, **fields: object) -> RawStream:
        """An answer as it arrives."""
        return self.gateway.chat_stream(self.token, **fields)


@dataclass
class Talk:
    """A conversation as clients keep it: the whole history goes with every question.

    `asks` are more arguments of the SDK's call, the same with every question.
    """

    client: OpenAI
    stream: bool = False
    asks: Mapping[str, Any] = field(default_factory=dict)
    history: list[ChatCompletionMessageParam] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """What was said so far, by either side."""
        return [str(message["content"]) for message in self.history if "content" in message]

    def say(self, text: str) -> str:
        """Ask, and take the answer into the history."""
        question: ChatCompletionMessageParam = {"role": "user", "content": text}
        answer = self._asked([*self.history, question])
        self.history += [question, {"role": "assistant", "content": answer}]
        return answer

    def up_to(self, messages: int) -> "Talk":
        """The same conversation as it was after so many messages, to go on with in another way."""
        return Talk(self.client, self.stream, self.asks, self.history[:messages])

    def _asked(self, messages: list[ChatCompletionMessageParam]) -> str:
        fields: dict[str, Any] = {"model": "kimi", "messages": messages, **self.asks}
        if not self.stream:
            return str(self.client.chat.completions.create(**fields).choices[0].message.content)
        with self.client.chat.completions.create(**fields, stream=True) as stream:
            return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


Enter = Callable[[Gateway, Guest, str], Door]


@contextmanager
def entered(gateway: Gateway, guest: Guest, token: str, *, max_retries: int = 0) -> Iterator[Door]:
    """Open the SDK's client for one test."""
    with gateway.openai(token, max_retries=max_retries) as client:
        yield Door(gateway, guest, token, client)


def capture(name: str) -> list[dict[str, Any]]:
    """A recorded turn as the frames of a plan; the first line of a file is its header."""
    lines = (WIRE / name).read_text(encoding="utf-8").splitlines()[1:]
    return [json.loads(line) for line in lines]
