"""Pages of other sites."""

from __future__ import annotations

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from app.dialects import cors, errors
from app.errors import RateLimitExceeded
from app.observability import hooks

PAGE = "https://chat.example"
OTHER = "https://evil.example"
ASKED = "authorization, x-stainless-lang, dangerously-allow-browser, x-api-key, anthropic-version"


def client(*origins: str) -> FlaskClient:
    """A service that lets pages of these origins in, with a door that fails."""
    app = Flask(__name__, static_folder=None)
    hooks.install(app)
    errors.install(app)
    cors.install(app, origins)

    @app.post("/door")
    def door() -> Response:
        raise RateLimitExceeded("later")

    @app.get("/open")
    def opened() -> str:
        return "come in"

    return app.test_client()


@pytest.mark.parametrize("path", ["/door", "/open", "/nowhere"])
def test_a_preflight_is_answered_with_what_it_asks_for(path: str) -> None:
    """Without credentials, and wherever it leads."""
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ASKED}
    response = client("*").options(path, headers=headers)
    assert [response.status_code, response.data] == [204, b""]
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Access-Control-Allow-Headers"] == ASKED
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert "DELETE" in response.headers["Access-Control-Allow-Methods"]
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_options_are_told_to_anybody() -> None:
    """A client that is no browser asks too."""
    response = client("*").options("/door")
    assert response.status_code == 204
    assert "POST" in response.headers["Allow"]
    assert "Access-Control-Allow-Headers" not in response.headers


@pytest.mark.parametrize(("path", "status"), [("/open", 200), ("/door", 405), ("/nowhere", 404)])
def test_a_page_may_read_any_answer(path: str, status: int) -> None:
    """Errors above all, and their headers."""
    response = client("*").get(path, headers={"Origin": PAGE})
    assert [response.status_code, response.headers["Access-Control-Allow-Origin"]] == [status, "*"]
    exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"x-request-id", "retry-after", "x-should-retry", "x-warnings"} <= set(exposed)


def test_an_error_says_why_to_a_page() -> None:
    """As to everybody."""
    response = client("*").post("/door", headers={"Origin": PAGE})
    assert [response.status_code, response.headers["Access-Control-Allow-Origin"]] == [429, "*"]


def test_who_is_no_page_sees_nothing_of_it() -> None:
    """There is no origin to let in."""
    assert "Access-Control-Allow-Origin" not in client("*").get("/open").headers


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_only_the_pages_of_the_settings_are_let_in(method: str) -> None:
    """An answer that one of them may read is not kept for another."""
    response = client(PAGE).open("/open", method=method, headers={"Origin": PAGE})
    assert response.status_code < 300
    assert [response.headers["Access-Control-Allow-Origin"], response.headers["Vary"]] == [PAGE, "Origin"]
    refused = client(PAGE).open("/open", method=method, headers={"Origin": OTHER})
    assert [refused.status_code, refused.get_json()["error"]["code"]] == [403, "origin_refused"]
    assert "Access-Control-Allow-Origin" not in refused.headers
    assert refused.headers["Vary"] == "Origin"


def test_the_service_s_own_pages_are_always_let_in() -> None:
    """Also where a proxy in front speaks TLS."""
    response = client(PAGE).get("/open", headers={"Origin": "https://localhost", "Host": "localhost"})
    assert [response.status_code, response.headers["Access-Control-Allow-Origin"]] == [200, "https://localhost"]


@pytest.mark.parametrize("origin", ["null", "", "https://evil.example:99999", "https://[", "x" * 4000])
def test_an_origin_that_is_none_is_not_let_in(origin: str) -> None:
    """Nor does it break anything."""
    assert client(PAGE).get("/open", headers={"Origin": origin}).status_code == 403
    assert client("*").get("/open", headers={"Origin": origin}).status_code == 200
