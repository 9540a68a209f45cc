"""What stays out of the log, and what Kimi is not asked: no secret, no message text, no call beyond those needed."""

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from emulator.client import AccountTokens
from tests.e2e.conftest import QUICK, NewGuest, running
from tests.e2e.support import Door, Gateway, Guest, asking, until

pytestmark = pytest.mark.e2e

AGENT = "Mozilla/5.0 (compatible; kimi-gateway/0.1.0)"


def canary(kind: str) -> str:
    """A word that stands nowhere else."""
    return f"{kind}{secrets.token_hex(12)}"


def forged_jwt(kind: str) -> str:
    """A token that looks like one of Kimi's and was never issued."""
    claims = {"app_id": "kimi", "typ": kind, "exp": 4_000_000_000, "sub": canary("sub")}
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    head = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{canary('signature')}"


def assorted(gateway: Gateway, guest: Guest) -> tuple[list[str], dict[str, int]]:
    """Send good and bad requests; give the canaries that they held, and the status by each request's id."""
    question, answer, opaque, query, body, path = map(
        canary, ("question", "answer", "0123456789abcdef", "query", "body", "path")
    )
    tokens = [guest.access_token, guest.refresh_token, guest.legacy_token, opaque, "sk-" + canary("key")]
    tokens += [forged_jwt("access"), forged_jwt("refresh")]
    messages = [{"role": "user", "content": question}]
    statuses: dict[str, int] = {}

    def send(method: str, target: str, **more: Any) -> None:  # noqa: ANN401 # passed on
        reply = gateway.request(method, target, **more)
        statuses[reply.headers["x-request-id"]] = reply.status

    guest.plan({"text": answer, "thinking": answer}, repeat=True)
    for token in tokens:
        for stream in (False, True):
            chat = asking(messages=messages, stream=stream, conversation_id="none")
            send("POST", "/v1/chat/completions", token=token, body=chat)
        send("GET", "/v1/models", token=token)
        send("POST", "/token/check", body={"token": token})
        send("GET", "/v1/models", headers={"x-api-key": token})
    failing = ("overload_trailer", "error_after_done", "html", "exception_block", "empty")
    for faults in ({name: True} for name in failing):
        for stream in (False, True):
            guest.plan({"text": answer, "faults": faults})
            send(
                "POST", "/v1/chat/completions", token=guest.access_token, body=asking(messages=messages, stream=stream)
            )
    send("POST", f"/v1/chat/completions?key={query}", token=guest.access_token, body=asking(messages=messages))
    send("GET", f"/{path}?token={query}")
    send("GET", f"/v1/models/{path}", token=guest.access_token)
    send("POST", "/v1/chat/completions", token=guest.access_token, body={"model": body, "messages": question})
    send("POST", "/v1/chat/completions", token=guest.access_token, body=asking(messages=[{"role": body}]))
    send("POST", "/v1/chat/completions", token=guest.access_token, body=asking(conversation_id=body, messages=messages))
    send("POST", "/v1/chat/completions", headers={"Authorization": f"Basic {opaque}"}, body=asking())
    send("POST", "/token/check", headers={"Cookie": f"kimi-auth={query}"}, body={"token": f"{opaque}, {body}"})
    kept_out = [*tokens, question, answer, query, path]
    # The model's name is told in the log on purpose; `body` is one in a request that was refused before that.
    return [*kept_out, body], statuses


@pytest.mark.parametrize("kind", ["connect", "rest"])
def test_nothing_secret_is_logged(request: pytest.FixtureRequest, guest: Guest, kind: str) -> None:
    """Tokens in headers, queries and bodies, and all that was said, are not in the log: not whole, not in part."""
    gateway: Gateway = request.getfixturevalue(f"{kind}_gateway")
    canaries, statuses = assorted(gateway, guest)
    assert until(lambda: all(gateway.log_lines(identity) for identity in statuses))
    log = gateway.server.log
    assert [word for word in canaries if word in log] == []
    signatures = [word.rpartition(".")[2] for word in canaries if word.count(".") == 2]
    assert [word for word in signatures if word in log] == []
    assert 200 in statuses.values()
    assert max(statuses.values()) < 504


def test_each_request_is_one_line(connect_gateway: Gateway, guest: Guest) -> None:
    """Whatever becomes of a request, the log has one JSON line of it, with its id, status and duration."""
    _, statuses = assorted(connect_gateway, guest)
    assert until(lambda: all(connect_gateway.log_lines(identity) for identity in statuses))
    for identity, status in statuses.items():
        lines = [line for line in connect_gateway.log_lines(identity) if "status" in line]
        assert [line["status"] for line in lines] == [status]
        assert 0 <= lines[0]["duration"] < 30


def test_a_streamed_request_is_logged_when_it_is_over(connect: Door) -> None:
    """The duration is that of the whole answer, not that of its head; an in-band error stands in the line."""
    connect.guest.plan({"text": "ab", "piece": 1, "delay": 0.3, "faults": {"error_after_done": True}})
    with connect.streamed() as stream:
        identity = stream.response.headers["x-request-id"]
        list(stream.pieces())
    assert until(lambda: bool(connect.gateway.log_lines(identity)))
    (line,) = connect.gateway.log_lines(identity)
    assert line["duration"] > 0.5
    assert (line["status"], line["code"]) == (200, "upstream_unavailable")


def test_a_hang_up_is_logged(connect: Door) -> None:
    """A request whose client has left has its line too."""
    connect.guest.plan({"text": "word " * 100, "delay": 0.05})
    with connect.streamed() as stream:
        identity = stream.response.headers["x-request-id"]
        stream.hang_up()
    assert until(lambda: bool(connect.gateway.log_lines(identity)))
    assert connect.guest.all_deleted()


def test_the_log_is_json_by_line(connect_gateway: Gateway, rest_gateway: Gateway) -> None:
    """Every line after the server's start is a JSON object."""
    for gateway in (connect_gateway, rest_gateway):
        lines = gateway.server.log.splitlines()
        first = next(number for number, line in enumerate(lines) if line.startswith("{"))
        assert [line for line in lines[first:] if not isinstance(_value(line), dict)] == []


def test_no_token_of_this_run_is_logged(
    issued: list[AccountTokens], connect_gateway: Gateway, rest_gateway: Gateway, hasty_gateway: Gateway
) -> None:
    """Whatever the tests before this one did, no token of any account is in any log."""
    log = "".join(gateway.server.log for gateway in (connect_gateway, rest_gateway, hasty_gateway))
    assert issued
    for account in issued:
        for token in (account.access_token, account.refresh_token, account.legacy_token):
            assert token not in log
            assert token.rpartition(".")[2] not in log


def made(guest: Guest) -> list[str]:
    """The calls of an account, in order, each by the end of its path."""
    return [_named(entry["method"], entry["path"]) for entry in guest.calls()]


def _named(method: str, path: str) -> str:
    last = path.rpartition("/")[2]
    return f"{method} {last}" if method != "POST" else last


@pytest.mark.parametrize("stream", [False, True])
def test_the_calls_of_an_answer(hasty_gateway: Gateway, guest: Guest, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """A refresh, the model list, one completion, one deletion: nothing that pretends to be a person."""
    assert hasty_gateway.chat(guest.refresh_token, stream=stream).status == 200
    assert guest.all_deleted()
    assert made(guest) == ["RefreshToken", "GetAvailableModels", "Chat", "DeleteChat"]


def test_the_calls_of_the_next_answer(hasty_gateway: Gateway, guest: Guest) -> None:
    """The access token and the model list are kept: the next answer costs a completion and a deletion."""
    for count in (1, 2, 3):
        assert hasty_gateway.chat(guest.refresh_token).status == 200
        assert guest.all_deleted(count)
    assert made(guest) == ["RefreshToken", "GetAvailableModels", *["Chat", "DeleteChat"] * 3]


def test_one_refresh_for_many_at_once(hasty_gateway: Gateway, guest: Guest) -> None:
    """Requests of one account that come together share a refresh and a model list."""
    replies: list[int] = []
    ask = lambda: replies.append(hasty_gateway.chat(guest.refresh_token).status)  # noqa: E731 # a thread's work
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [200] * 8
    assert guest.all_deleted(8)
    calls = made(guest)
    deletions = {"DeleteChat", "BatchDeleteChats"}  # one by one or together, as they come to their ends
    assert {name: calls.count(name) for name in set(calls) - deletions} == {
        "RefreshToken": 1,
        "GetAvailableModels": 1,
        "Chat": 8,
    }
    assert 1 <= len([name for name in calls if name in deletions]) <= 8


def test_the_calls_of_a_conversation(hasty_gateway: Gateway, guest: Guest) -> None:
    """A conversation that is kept is looked up where it is continued, and never deleted."""
    kept = hasty_gateway.chat(guest.access_token, conversation_id="none").json()["id"]
    assert hasty_gateway.chat(guest.access_token, conversation_id=kept).status == 200
    assert hasty_gateway.chat(guest.access_token).status == 200
    assert until(lambda: "DeleteChat" in made(guest))
    assert made(guest) == ["GetAvailableModels", "Chat", "ListMessages", "Chat", "Chat", "DeleteChat"]


def test_the_calls_of_a_cut(connect: Door) -> None:
    """Where Kimi's own end was not seen, generation is stopped before the chat is deleted."""
    connect.guest.plan({"text": "Never to be finished", "faults": {"cut_after": 9}})
    connect.whole()
    assert connect.guest.all_deleted()
    assert made(connect.guest) == ["GetAvailableModels", "Chat", "CancelChat", "DeleteChat"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_calls_of_a_stall(hasty: Door, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """An answer that is given up is stopped on Kimi's side."""
    hasty.guest.plan({"text": "Never to be finished", "faults": {"stall_after": 9}})
    hasty.whole(stream=stream)
    assert hasty.guest.all_deleted()
    assert made(hasty.guest) == ["GetAvailableModels", "Chat", "CancelChat", "DeleteChat"]


def test_the_calls_of_a_refusal(connect: Door, new_guest: NewGuest) -> None:
    """Where no chat came about there is nothing to stop or delete, and the account is left alone after it."""
    connect.guest.plan({"faults": {"overload_trailer": True}}, {"text": QUICK})
    assert connect.whole().status == 429
    assert connect.whole().status == 429
    other = new_guest()
    assert connect.gateway.chat(other.access_token).status == 200
    assert other.all_deleted()  # by now, a call about the refused one would have been made as well
    assert made(connect.guest) == ["GetAvailableModels", "Chat"]


def test_the_calls_of_the_legacy_site(rest: Door) -> None:
    """A refresh, a chat, one completion, one deletion."""
    assert rest.whole().status == 200
    assert rest.guest.all_deleted()
    chat = rest.guest.chats()[0]["id"]
    assert made(rest.guest) == ["GET refresh", "chat", "stream", f"DELETE {chat}"]


def test_refused_requests_call_nobody(connect: Door) -> None:
    """What is wrong by itself is not Kimi's concern."""
    assert connect.whole(messages=[]).status == 400
    assert connect.gateway.request("GET", "/v1/models/kimi", token=connect.token).status == 200
    assert connect.gateway.request("GET", "/nothing", token=connect.token).status == 404
    assert made(connect.guest) == []


def test_the_user_agent_is_honest(door: Door, new_guest: NewGuest) -> None:
    """Every call names the gateway."""
    door.whole()
    assert door.gateway.chat(new_guest().refresh_token).status == 200
    assert door.guest.all_deleted()
    assert {entry["headers"]["user-agent"] for entry in door.guest.calls()} == {AGENT}


class _Recorder(BaseHTTPRequestHandler):
    """Answers everything with an error and a cookie, and keeps the headers that came."""

    seen: list[dict[str, str]]

    def do_POST(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers.get("content-length", "0")))
        body = b'{"code":"unavailable"}'
        self.send_response(503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "session=sticky; Path=/")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 # as the base class calls it

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def recorder() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Run a host that hands out cookies; give its URL and the headers that it has seen."""
    seen: list[dict[str, str]] = []
    handler = type("Recorder", (_Recorder,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def test_no_cookies_are_sent(guest: Guest) -> None:
    """Cookies would carry one account into another's calls: none is sent, none is kept."""
    with recorder() as (url, seen), running(url) as gateway:
        for token in (guest.access_token, guest.refresh_token, guest.access_token):
            assert gateway.chat(token).status == 503
    assert len(seen) >= 4
    assert [headers for headers in seen if "cookie" in headers] == []


def _value(line: str) -> object:
    try:
        value: object = json.loads(line)
    except ValueError:
        return None
    return value
