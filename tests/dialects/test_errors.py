"""The last border before the wire."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from gunicorn.http.errors import ChunkMissingTerminator
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from app.dialects import errors as border
from app.errors import (
    GatewayError,
    InternalError,
    RateLimitExceeded,
    RequestTooLarge,
    UpstreamBusy,
    UpstreamUnavailable,
)
from app.observability import hooks
from app.observability.log import JsonFormatter


def tree(kind: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """All classes below the root."""
    for child in kind.__subclasses__():
        yield child
        yield from tree(child)


def client(fail: Callable[[], None] = lambda: None) -> FlaskClient:
    """An application whose one route fails so."""
    app = Flask(__name__)
    hooks.install(app)
    border.install(app)

    @app.post("/fail")
    def route() -> str:
        fail()
        return "fine"

    return app.test_client()


def raising(error: Exception) -> Callable[[], None]:
    """A route that raises."""

    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("kind", list(dict.fromkeys(tree())))
def test_an_error_of_the_tree_is_its_status_in_json(kind: type[GatewayError]) -> None:
    """In OpenAI's shape, with the id to find it in the log."""
    response = client(raising(kind("a sentence", param="model"))).post("/fail")
    assert response.status_code == kind.status
    assert response.headers["Content-Type"] == "application/json"
    assert response.get_json() == {
        "error": {"message": "a sentence", "type": kind.type, "param": "model", "code": kind.code}
    }
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("kind", list(dict.fromkeys(tree())))
def test_every_error_tells_whether_to_try_again(kind: type[GatewayError]) -> None:
    """SDKs do so three times if they are not told."""
    told = [
        client(raising(kind("x", retryable=retryable))).post("/fail").headers["x-should-retry"]
        for retryable in (True, False)
    ]
    assert told == ["true", "false"]


@pytest.mark.parametrize(
    ("seconds", "told"), [(None, "30"), (0.0, "0"), (0.2, "1"), (7.0, "7"), (7.01, "8"), (3600.0, "3600")]
)
def test_a_pause_is_told_in_whole_seconds(seconds: float | None, told: str) -> None:
    """HTTP knows no others; a client that comes too early is refused again."""
    response = client(raising(RateLimitExceeded("x", retry_after=seconds))).post("/fail")
    assert response.headers["Retry-After"] == told


@pytest.mark.parametrize("kind", list(dict.fromkeys(tree())))
def test_the_usual_pause_is_told_where_no_other_is_known(kind: type[GatewayError]) -> None:
    """And none where there is no usual one: a made-up one would hold clients back."""
    told = client(raising(kind("x"))).post("/fail").headers.get("Retry-After")
    assert told == (None if kind.pause is None else f"{kind.pause:.0f}")


def test_a_pause_is_told_with_any_error_that_knows_one() -> None:
    """A place in line, for instance."""
    response = client(raising(UpstreamUnavailable("x", retry_after=5.0))).post("/fail")
    assert response.headers["Retry-After"] == "5"


@pytest.mark.parametrize(("path", "method"), [("/nothing", "GET"), ("/nothing", "POST"), ("/v1/secret", "DELETE")])
def test_an_unknown_path_is_json_too(path: str, method: str) -> None:
    """And does not repeat the path."""
    response = client().open(path, method=method)
    assert [response.status_code, response.get_json()["error"]["code"]] == [404, "not_found"]
    assert "secret" not in response.text
    assert response.headers["x-should-retry"] == "false"


def test_a_wrong_method_tells_the_right_ones() -> None:
    """As HTTP asks."""
    response = client().get("/fail")
    assert [response.status_code, response.get_json()["error"]["code"]] == [405, "method_not_allowed"]
    assert response.headers["Allow"] == "OPTIONS, POST"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadRequest("secret"), 400, "invalid_request"),
        (RequestEntityTooLarge(), 413, "request_too_large"),
        (ChunkMissingTerminator(b"secret"), 400, "invalid_request"),
        (ValueError("secret"), 500, "internal_error"),
        (KeyError("secret"), 500, "internal_error"),
        (RecursionError("secret"), 500, "internal_error"),
    ],
)
def test_a_foreign_exception_is_one_of_ours(error: Exception, status: int, code: str) -> None:
    """None of its words leave the house."""
    response = client(raising(error)).post("/fail")
    assert [response.status_code, response.get_json()["error"]["code"]] == [status, code]
    assert "secret" not in response.text
    assert response.headers["x-should-retry"] == "false"


def test_a_defect_is_logged_without_content(caplog: pytest.LogCaptureFixture) -> None:
    """The type and the place of it; one of the tree's errors is none."""
    caplog.set_level(logging.DEBUG)
    client(raising(ValueError("secret"))).post("/fail").close()
    client(raising(InternalError("secret"))).post("/fail").close()
    lines = [JsonFormatter().format(record) for record in caplog.records]
    defects = [line for line in lines if "unexpectedly" in line]
    assert len(defects) == 1
    assert "ValueError" in defects[0]
    assert "secret" not in "".join(lines)


def test_the_log_line_of_a_request_has_the_code(caplog: pytest.LogCaptureFixture) -> None:
    """Operators count by it."""
    caplog.set_level(logging.INFO)
    client(raising(RateLimitExceeded("x"))).post("/fail").close()
    (record,) = [record for record in caplog.records if record.name == "kimi_gateway.request"]
    assert record.__dict__["fields"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(("error", "closed"), [(RequestTooLarge("x"), [True]), (RateLimitExceeded("x"), [])])
def test_a_body_that_will_not_be_read_ends_its_connection(error: GatewayError, closed: list[bool]) -> None:
    """gunicorn.conf.py puts the way to do it beside the body."""
    seen: list[bool] = []
    body = SimpleNamespace(force_close=lambda: seen.append(True), read=lambda *_: b"")
    client(raising(error)).post("/fail", environ_overrides={"wsgi.input": body})
    assert seen == closed


@pytest.mark.parametrize(
    ("path", "headers", "shape"),
    [
        ("/v1/chat/completions", {}, {"error"}),
        ("/v1/responses", {}, {"error"}),
        ("/v1/messages", {}, {"type", "error", "request_id"}),
        ("/v1/messages/nothing", {}, {"type", "error", "request_id"}),
        ("/v1/models/kimi", {"anthropic-version": "2023-06-01"}, {"type", "error", "request_id"}),
        ("/v1beta/models/kimi:embedContent", {}, {"error"}),
    ],
)
def test_an_error_is_told_in_the_dialect_of_its_path(path: str, headers: dict[str, str], shape: set[str]) -> None:
    """Also where there is nothing at that path."""
    response = client().post(path, headers=headers)
    body = response.get_json()
    assert [response.status_code, set(body)] == [404, shape]
    assert ("status" in body["error"]) == path.startswith("/v1beta")
    assert response.headers["x-should-retry"] == "false"


def test_an_overload_has_anthropic_s_own_status() -> None:
    """Its clients wait longer for it than for a limit."""
    app = Flask(__name__)
    hooks.install(app)
    border.install(app)

    @app.post("/v1/messages")
    def route() -> str:
        raise UpstreamBusy("later")

    response = app.test_client().post("/v1/messages", headers={"x-request-id": "one"})
    assert [response.status_code, response.headers["Retry-After"]] == [529, "30"]
    assert response.get_json()["error"]["type"] == "overloaded_error"
    assert response.get_json()["request_id"] == response.headers["x-request-id"] == "one"
    assert response.headers["request-id"] == "one"
