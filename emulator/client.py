"""The control plane for tests: typed calls over HTTP, and a way to start the emulator.

Standard library only, so that a test of any process can use it without gevent.
"""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack, cast

Fields = Mapping[str, object]

_ROOT = Path(__file__).resolve().parent.parent
_GREETING = "emulator listening on "
_TIMEOUT = 10.0
_POLL = 0.01


class LogEntry(TypedDict):
    """One request as GET /emulator/log shows it; `at` and `seconds` are in seconds."""

    seq: int
    at: float
    method: str
    path: str
    account: str | None
    authorization: str
    headers: dict[str, str]
    request: object
    status: int | None
    finished: bool
    client_closed: bool
    seconds: float
    frames_sent: int


class MessageView(TypedDict):
    """One message of a chat."""

    id: str
    parent_id: str
    role: str
    text: str
    files: list[str]


class ChatView(TypedDict):
    """One chat as GET /emulator/chats shows it."""

    id: str
    account: str
    name: str
    deleted: bool
    cancelled: bool
    messages: list[MessageView]


class FileView(TypedDict):
    """One stored file as GET /emulator/files shows it; `text` is null unless the file is a small text."""

    id: str
    account: str
    name: str
    content_type: str
    size: int
    sha256: str
    kind: str
    protocol: str
    text: str | None
    status: str
    used: int


class UploadFields(TypedDict, total=False):
    """The fields of POST /emulator/uploads, as the README describes them; None is as good as absent."""

    polls: int | None
    fail: str | None
    refuse_types: Sequence[str] | None
    status: int | None
    delay: float | None
    max_prompt: int | None
    times: int | None
    parsing_lines: int | None


@dataclass(frozen=True)
class AccountTokens:
    """An account and its newest tokens. `legacy_token` is the opaque refresh token of old."""

    name: str
    refresh_token: str
    access_token: str
    legacy_token: str


class ControlError(Exception):
    """The control plane refused a call; the message is its own."""


class EmulatorControl:
    """Drives one emulator at `base_url`, such as `http://127.0.0.1:40001`.

    `pid` is the process id when `start` began the process, else None.
    """

    def __init__(self, base_url: str, pid: int | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self.pid = pid

    def account(self, name: str | None = None, **settings: object) -> AccountTokens:
        """Make an account, or make the named one anew; settings as in the README's table."""
        named: Fields = {} if name is None else {"name": name}
        return _tokens(self._call("POST", "accounts", {**named, **settings}))

    def patch_account(self, name: str, **settings: object) -> AccountTokens:
        """Change fields of an account; `expire_access=True` ends its access tokens."""
        return _tokens(self._call("PATCH", f"accounts/{name}", settings))

    def accounts(self) -> list[AccountTokens]:
        """List all accounts with their newest tokens, oldest account first."""
        shown = cast("list[Fields]", self._call("GET", "accounts")["accounts"])
        return [_tokens(item) for item in shown]

    def plan(self, *answers: Fields, account: str | None = None, repeat: bool = False) -> None:
        """Order the next answers, of one account or of all; replaces what was ordered before."""
        named: Fields = {} if account is None else {"account": account}
        self._call("POST", "plan", {**named, "answers": list(answers), "repeat": repeat})

    def log(self) -> list[LogEntry]:
        """Give every request so far, those in progress included."""
        return cast("list[LogEntry]", self._call("GET", "log")["entries"])

    def calls(self, path_end: str) -> list[LogEntry]:
        """Give the logged requests whose path ends so."""
        return [entry for entry in self.log() if entry["path"].endswith(path_end)]

    def wait_for_log(self, condition: Callable[[list[LogEntry]], bool], timeout: float = 2.0) -> list[LogEntry]:
        """Wait until the log satisfies a condition, at most `timeout` seconds; give the log."""
        deadline = time.monotonic() + timeout
        while True:
            entries = self.log()
            if condition(entries):
                return entries
            if time.monotonic() > deadline:
                raise TimeoutError(f"the log did not come to that in {timeout} s: {entries}")
            time.sleep(_POLL)

    def chats(self) -> list[ChatView]:
        """Give every chat ever opened, deleted ones included, oldest first."""
        return cast("list[ChatView]", self._call("GET", "chats")["chats"])

    def open_chat(self, account: str) -> ChatView:
        """Make a chat as its owner would by hand, with a question and an answer."""
        return cast("ChatView", self._call("POST", "chats", {"account": account}))

    def models(self, answer: Fields | None = None, status: int | None = None) -> None:
        """Replace the answer of GetAvailableModels, or its status; with neither, restore it."""
        self._call("POST", "models", _present(answer=answer, status=status))

    def auth(self, status: int | None = None, body: object = None, delay: float | None = None) -> None:
        """Make the auth host misbehave; without arguments it behaves again."""
        self._call("POST", "auth", _present(status=status, body=body, delay=delay))

    def unary(self, call: str | None = None, status: int | None = None, times: int = 0) -> None:
        """Make a unary call fail so many times, 0 for always; without arguments all work again."""
        self._call("POST", "unary", _present(call=call, status=status, times=times or None))

    def files(self) -> list[FileView]:
        """Give every file that the site holds, oldest first."""
        return cast("list[FileView]", self._call("GET", "files")["files"])

    def most_uploads_at_once(self) -> int:
        """Give the largest number of uploads that were in progress at the same time."""
        return cast("int", self._call("GET", "files")["most_at_once"])

    def forget_file(self, file_id: str) -> None:
        """Drop a file as if the site had."""
        self._call("POST", "files", {"forget": file_id})

    def uploads(self, **order: Unpack[UploadFields]) -> None:
        """Order how uploads and long prompts fare, by the README's fields; without arguments all is well.

        An order replaces the one before it whole.
        """
        self._call("POST", "uploads", order)

    def reset(self) -> None:
        """Forget everything: accounts, plans, chats, files, the log."""
        self._call("POST", "reset", {})

    def _call(self, method: str, action: str, body: Fields | None = None) -> Fields:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 -- the base URL is our own loopback
            f"{self.base_url}/emulator/{action}", data, method=method
        )
        request.add_header("content-type", "application/json")
        try:
            with _opener.open(request, timeout=_TIMEOUT) as response:
                answer: Fields = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise ControlError(json.load(error)["error"]) from None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Never through a proxy: the emulator is on loopback, whatever the environment says."""


@contextmanager
def start(*accounts: str, port: int = 0) -> Iterator[EmulatorControl]:
    """Run the emulator in a process of its own, on a free port unless one is given."""
    named = [argument for name in accounts for argument in ("--account", name)]
    command = [sys.executable, "-m", "emulator", "--port", str(port), *named]
    with _running(command) as process:
        if process.stdout is None:
            raise ControlError("the emulator has no standard output")
        greeting = process.stdout.readline().strip()
        if not greeting.startswith(_GREETING):
            raise ControlError(f"the emulator did not start: {greeting!r}")
        yield EmulatorControl(greeting.removeprefix(_GREETING), process.pid)


@contextmanager
def _running(command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a process and end it by its id, gently first."""
    with subprocess.Popen(  # noqa: S603 -- the command is our own interpreter and module
        command, cwd=_ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


def _present(**fields: object) -> Fields:
    return {key: value for key, value in fields.items() if value is not None}


def _tokens(answer: Fields) -> AccountTokens:
    return AccountTokens(
        name=str(answer["name"]),
        refresh_token=str(answer["refresh_token"]),
        access_token=str(answer["access_token"]),
        legacy_token=str(answer["legacy_token"]),
    )
