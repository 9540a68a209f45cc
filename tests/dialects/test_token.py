"""POST /token/check."""

from __future__ import annotations

import pytest

from app.errors import TokenExpired, UpstreamUnavailable
from tests.dialects.houses import CLIENT, KEY, application, doorstep
from tests.fakes import FakeKimi, jwt

REFRESH = jwt(typ="refresh")


@pytest.mark.parametrize("live", [True, False])
def test_kimi_s_word_is_passed_on(*, live: bool) -> None:
    """As the seed does."""
    client = application(doorstep(FakeKimi(live=live))).test_client()
    response = client.post("/token/check", json={"token": CLIENT})
    assert [response.status_code, response.get_json()] == [200, {"live": live}]


@pytest.mark.parametrize("token", ["", "short", "é" * 20, REFRESH])
def test_a_token_that_cannot_be_one_or_is_refused_is_not_live(token: str) -> None:
    """That is an answer, no error."""
    client = application(doorstep(FakeKimi(), refusal=TokenExpired("no"))).test_client()
    assert client.post("/token/check", json={"token": token}).get_json() == {"live": False}


@pytest.mark.parametrize("token", [None, 7, ["a"], {}])
def test_a_token_is_a_string(token: object) -> None:
    """Anything else is a mistake of the client's."""
    response = application(doorstep(FakeKimi())).test_client().post("/token/check", json={"token": token})
    error = response.get_json()["error"]
    assert [response.status_code, error["code"], error["param"]] == [400, "invalid_request", "token"]


def test_what_cannot_be_told_is_an_error() -> None:
    """A site that is away says nothing of the token."""
    client = application(doorstep(FakeKimi(), refusal=UpstreamUnavailable("no"))).test_client()
    assert client.post("/token/check", json={"token": REFRESH}).status_code == 503


def test_a_gateway_key_is_checked_by_its_account() -> None:
    """The server's own."""
    client = application(doorstep(FakeKimi(), api_keys=(KEY,))).test_client()
    assert client.post("/token/check", json={"token": KEY}).get_json() == {"live": True}


def test_the_answer_holds_no_token() -> None:
    """Nor does an error."""
    client = application(doorstep(FakeKimi(), refusal=UpstreamUnavailable("no"))).test_client()
    assert REFRESH not in client.post("/token/check", json={"token": REFRESH}).text
