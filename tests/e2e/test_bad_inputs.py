"""Bad input, byte for byte, against gunicorn with two workers: a JSON error of the contract's, never a 500.

The corpus has finer codes than the contract, section 5: its codes are mapped to the contract's by their status. Where
the status is 401 both speak of the same codes.
"""

import contextlib
import http.client
import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import NewGuest
from tests.e2e.support import Door, Gateway, Guest, Reply

pytestmark = pytest.mark.e2e

CORPUS = Path(__file__).resolve().parents[1] / "corpora" / "bad_inputs.jsonl"
CATEGORIES = {"json", "schema", "auth", "size", "control", "media", "upload"}
CODES = {400: "invalid_request", 413: "request_too_large", 415: "unsupported_media_type"}
OF_ATTACHMENTS = {"invalid_url", "invalid_image", "invalid_image_url", "invalid_filename"}
HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
JSON = "Content-Type: application/json\r\n"
PLACEHOLDER = re.compile("sk-test-ABCDEFGH12345678(\\d*)")
CHUNK = 100_000


def _rows() -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["category"] in CATEGORIES or row["id"].startswith("ce-")]


ROWS = _rows()


def request_of(row: dict[str, Any], tokens: list[str]) -> bytes:
    """The bytes of a row; the placeholder becomes a credential, and one with digits behind it another one."""
    if row.get("raw_template"):
        unit: str = row["body_repeat"][0]
        count: int = row["body_repeat"][1]
        head = HEAD.format(token=tokens[0]) + JSON + f"Content-Length: {len(unit) * count}\r\n\r\n"
        return (head + unit * count).encode()
    if row["raw_latin1"] == "CHUNKED_OVER":
        head = HEAD.format(token=tokens[0]) + JSON + "Transfer-Encoding: chunked\r\n\r\n"
        chunk = f"{CHUNK:x}\r\n{'a' * CHUNK}\r\n"
        return (head + chunk * 12 + "0\r\n\r\n").encode()
    head, end, body = str(row["raw_latin1"]).partition("\r\n\r\n")
    head = PLACEHOLDER.sub(lambda found: tokens[int(found[1] or 1) - 1], head)
    return (head + end + body).encode("latin-1")


def exchanged(gateway: Gateway, request: bytes) -> tuple[Reply, bool]:
    """Send bytes as they are; give the answer, and whether the server closes the connection after it."""
    with socket.create_connection(gateway.address, timeout=10) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read what it refuses
            sock.sendall(request)
        response = http.client.HTTPResponse(sock, method=request.partition(b" ")[0].decode())
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        reply = Reply(response.status, headers, response.read())
        sock.settimeout(0.1)
        try:
            closed = sock.recv(1) == b""
        except ConnectionResetError:
            closed = True
        except TimeoutError:
            closed = False
        response.close()
        return reply, closed


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_the_corpus(connect_gateway: Gateway, new_guest: NewGuest, row: dict[str, Any]) -> None:
    """Each row has exactly its status, and the contract's code in OpenAI's shape; nothing refused reaches Kimi."""
    guests = [new_guest() for _ in range(3)]
    request = request_of(row, [guest.legacy_token for guest in guests])
    reply, closed = exchanged(connect_gateway, request)
    status = row["expect_status"]
    assert reply.status == status
    assert reply.headers["x-request-id"]
    completions = sum(len(guest.completions()) for guest in guests)
    assert sum(len(guest.files()) for guest in guests) == 0
    if status == 200:
        assert completions == 1
        assert (row["expect_shape"] == "sse") is reply.headers["content-type"].startswith("text/event-stream")
    else:
        assert completions == 0
        finer = row["expect_code"]
        assert reply.error["code"] == ("attachment_refused" if finer in OF_ATTACHMENTS else CODES.get(status, finer))
        assert reply.headers["x-should-retry"] == "false"
    assert row.get("expect_connection") != "close" or closed


def test_a_lie_about_the_length_is_answered_at_once(connect_gateway: Gateway, guest: Guest) -> None:
    """A length beyond the limit is refused without waiting for a body that never comes, and the connection closed."""
    (row,) = [row for row in ROWS if row["id"] == "size-cl-lie"]
    began = time.monotonic()
    reply, closed = exchanged(connect_gateway, request_of(row, [guest.legacy_token]))
    assert (reply.status, closed) == (413, True)
    assert time.monotonic() - began < 5.0  # the body is waited for much longer


@pytest.mark.parametrize("size", [1_000_000, 1_000_001])
def test_the_limit_is_exact(connect_gateway: Gateway, guest: Guest, size: int) -> None:
    """A body of MAX_JSON_BYTES is read, one byte more is not."""
    body = json.dumps({"model": "kimi", "messages": [{"role": "user", "content": "Hi"}]}).ljust(size)
    head = HEAD.format(token=guest.access_token) + JSON + f"Content-Length: {size}\r\n\r\n"
    reply, _ = exchanged(connect_gateway, (head + body).encode())
    assert reply.status == (200 if size == 1_000_000 else 413)


@pytest.mark.parametrize("chunk", [1, 7, 5_000])
def test_a_chunked_body_is_read(connect_gateway: Gateway, guest: Guest, chunk: int) -> None:
    """A body without a length is as good as any."""
    body = json.dumps({"model": "kimi", "messages": [{"role": "user", "content": "Hi"}]})
    parts = [body[start : start + chunk] for start in range(0, len(body), chunk)]
    framed = "".join(f"{len(part):x}\r\n{part}\r\n" for part in parts)
    head = HEAD.format(token=guest.access_token) + JSON + "Transfer-Encoding: chunked\r\n\r\n"
    reply, _ = exchanged(connect_gateway, (head + framed + "0\r\n\r\n").encode())
    assert reply.status == 200


@pytest.mark.parametrize("framing", ["zz\r\nhello\r\n", "5\r\nhelloXX", "5;a=\x00\r\nhello\r\n", "-5\r\nhello\r\n"])
def test_a_broken_framing_is_no_500(connect_gateway: Gateway, guest: Guest, framing: str) -> None:
    """A chunked body that is not framed as such is refused, and the connection closed."""
    head = HEAD.format(token=guest.access_token) + JSON + "Transfer-Encoding: chunked\r\n\r\n"
    reply, closed = exchanged(connect_gateway, (head + framing + "0\r\n\r\n").encode("latin-1"))
    assert (reply.status, closed) == (400, True)
    assert guest.completions() == []


@pytest.mark.parametrize("content_type", ["", "Content-Type: text/plain\r\n", "Content-Type: multipart/form-data\r\n"])
def test_other_content_types(connect_gateway: Gateway, guest: Guest, content_type: str) -> None:
    """A body that does not say it is JSON is not read as JSON."""
    head = HEAD.format(token=guest.access_token) + content_type + "Content-Length: 2\r\n\r\n{}"
    reply, _ = exchanged(connect_gateway, head.encode())
    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "content": []}]}, "messages"),
        ({"messages": [{"role": "nobody", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0].type"),
        ({"messages": None}, "messages"),
        ({"model": None}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": 1}, "stream_options"),
        ({"use_search": 1}, "use_search"),
        ({"conversation_id": 5}, "conversation_id"),
        ({"conversation_id": "../../user"}, "conversation_id"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"max_tokens": 1e300}, "max_tokens"),
    ],
    ids=str,
)
def test_the_field_at_fault_is_named(connect: Door, fields: dict[str, object], param: str) -> None:
    """A 400 names the field in `param`."""
    reply = connect.whole(**fields)
    assert (reply.status, reply.error["code"]) == (400, "invalid_request")
    assert str(reply.error["param"]) == param
    assert connect.guest.calls() == []


@pytest.mark.parametrize("name", ["temperature", "user", "logit_bias", "seed", "store", "metadata", "service_tier"])
@pytest.mark.parametrize("value", [None, 1, {"a": 1}])
def test_fields_that_mean_nothing_here(connect: Door, name: str, value: object) -> None:
    """What clients send besides is no error, unless a known field has a wrong type."""
    status = 400 if (name, value) == ("temperature", {"a": 1}) else 200
    assert connect.whole(**{name: value}).status == status


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/chat", "/v1/chat/completions/", "/v1/embeddings", "/%00", "/%ff/.."]
)
def test_unknown_paths(connect_gateway: Gateway, path: str) -> None:
    """There is nothing there: 404 in JSON."""
    reply = connect_gateway.request("POST", path, body={})
    assert (reply.status, reply.error["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/chat/completions", "POST"),
        ("PUT", "/chat/completions", "POST"),
        ("POST", "/v1/models", "GET"),
        ("GET", "/token/check", "POST"),
        ("POST", "/ping", "GET"),
        ("POST", "/", "GET"),
        ("BREW", "/ping", "GET"),
    ],
)
def test_unknown_methods(connect_gateway: Gateway, method: str, path: str, allowed: str) -> None:
    """The path knows other methods: 405 in JSON, with Allow."""
    reply = connect_gateway.request(method, path)
    assert (reply.status, reply.error["code"]) == (405, "method_not_allowed")
    assert allowed in reply.headers["allow"].split(", ")


@pytest.mark.parametrize("path", ["/", "/ping", "/healthz", "/v1/models", "/v1/chat/completions", "/token/check", "/x"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_head_and_options(connect_gateway: Gateway, method: str, path: str) -> None:
    """Neither crashes, with or without a route."""
    assert connect_gateway.request(method, path).status < 500


def test_ping(connect_gateway: Gateway) -> None:
    """GET /ping answers as the seed does."""
    reply = connect_gateway.request("GET", "/ping")
    assert (reply.status, reply.body) == (200, b"pong")


@pytest.mark.parametrize(
    ("path", "told"),
    [("/healthz", {"status": "ok"}), ("/readyz", {"status": "ready", "state": "sqlite", "warnings": []})],
)
def test_probes(cut_off_gateway: Gateway, path: str, told: dict[str, object]) -> None:
    """The probes are good also where Kimi is out of reach; readiness tells where state is kept."""
    reply = cut_off_gateway.request("GET", path)
    assert (reply.status, reply.json()) == (200, told)


@pytest.mark.parametrize("kind", ["access", "refresh", "legacy"])
def test_a_live_token(connect_gateway: Gateway, guest: Guest, kind: str) -> None:
    """POST /token/check knows each kind of token as live."""
    found = connect_gateway.check(getattr(guest, f"{kind}_token"))
    assert (found["live"], found["reason"], found["kind"]) == (True, "ok", kind)


def test_a_live_token_of_the_legacy_site(rest_gateway: Gateway, guest: Guest) -> None:
    """POST /token/check works over the legacy protocol too."""
    found = rest_gateway.check(guest.legacy_token)
    assert (found["live"], found["reason"], found["kind"]) == (True, "ok", "legacy")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("access", "token_expired"), ("refresh", "refresh_refused"), ("legacy", "refresh_refused")],
)
def test_a_dead_token(connect_gateway: Gateway, guest: Guest, kind: str, reason: str) -> None:
    """POST /token/check knows a token that Kimi refuses as dead, and says what to do."""
    guest.change(state="revoked")
    found = connect_gateway.check(getattr(guest, f"{kind}_token"))
    assert (found["live"], found["reason"]) == (False, reason)
    assert "log in again" in found["remedy"].lower()


@pytest.mark.parametrize("token", ["", "x", "has spaces in the middle of it", "ключ" * 10])
def test_a_token_that_cannot_be_one(connect_gateway: Gateway, token: str) -> None:
    """POST /token/check calls a malformed token dead, without asking anybody."""
    found = connect_gateway.check(token)
    assert (found["live"], found["reason"]) == (False, "token_malformed")


@pytest.mark.parametrize("body", [{}, {"token": None}, {"token": 5}, {"token": ["a"]}])
def test_a_check_without_a_token(connect_gateway: Gateway, body: object) -> None:
    """POST /token/check wants a string."""
    reply = connect_gateway.request("POST", "/token/check", body=body)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (400, "invalid_request", "token")


def test_a_check_that_cannot_be_made(cut_off_gateway: Gateway, guest: Guest) -> None:
    """Where Kimi is out of reach the network is blamed and not the token."""
    found = cut_off_gateway.check(guest.access_token)
    assert (found["live"], found["reason"]) == (False, "network_blocked")
    assert "log in" not in found["remedy"].lower()


def test_no_request_of_this_folder_was_a_500(connect_gateway: Gateway, rest_gateway: Gateway) -> None:
    """Up to here no request has met a defect, by the servers' own logs."""
    for gateway in (connect_gateway, rest_gateway):
        assert "internal_error" not in gateway.server.log
        assert "Traceback" not in gateway.server.log
