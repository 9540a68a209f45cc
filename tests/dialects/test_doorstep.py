"""What every door does first."""

from __future__ import annotations

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from app.errors import GatewayError, InvalidApiKey, InvalidRequest, MissingApiKey, RequestTooLarge, UnsupportedMediaType
from tests.dialects.houses import CLIENT, KEY, doorstep
from tests.fakes import FakeKimi, jwt

OTHER = jwt(sub="other")


def request(path: str = "/", *, headers: dict[str, str] | None = None, body: bytes = b"", kind: str = "") -> Request:
    """A request as Flask sees it."""
    builder = EnvironBuilder(
        path=path, method="POST", headers=(headers or {}).items(), data=body, content_type=kind or None
    )
    return Request(builder.get_environ())


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"Authorization": f"Bearer {CLIENT}"}, CLIENT),
        ({"x-api-key": CLIENT}, CLIENT),
        ({"x-goog-api-key": CLIENT}, CLIENT),
        ({"x-goog-api-key": OTHER, "x-api-key": CLIENT}, CLIENT),
        ({"x-api-key": OTHER, "Authorization": f"Bearer {CLIENT}"}, CLIENT),
    ],
)
def test_a_credential_is_read_from_any_of_the_headers(headers: dict[str, str], token: str) -> None:
    """In the order of the contract."""
    (credential,) = doorstep(FakeKimi()).credentials(request(headers=headers))
    assert credential.token == token


def test_a_gateway_key_opens_the_server_s_own_account() -> None:
    """Its token is not the client's."""
    (credential,) = doorstep(FakeKimi(), api_keys=(KEY,)).credentials(request(headers={"x-api-key": KEY}))
    assert credential.token == jwt(sub="own")


@pytest.mark.parametrize(
    ("path", "headers", "kind"),
    [
        ("/", {}, MissingApiKey),
        ("/", {"Authorization": "Basic YTpi"}, InvalidApiKey),
        ("/", {"x-api-key": "short"}, InvalidApiKey),
        (f"/?key={CLIENT}", {"x-api-key": CLIENT}, InvalidRequest),
    ],
)
def test_no_credential_is_refused(path: str, headers: dict[str, str], kind: type[GatewayError]) -> None:
    """Nor is one taken from the address, which ends up in logs."""
    with pytest.raises(GatewayError) as caught:
        doorstep(FakeKimi()).credentials(request(path, headers=headers))
    assert type(caught.value) is kind
    assert CLIENT not in caught.value.message


def test_a_body_is_one_json_object() -> None:
    """Read strictly."""
    door = doorstep(FakeKimi())
    assert door.json_object(request(body=b'{"a": 1}', kind="application/json")) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (b"[]", "application/json", InvalidRequest),
        (b"{", "application/json", InvalidRequest),
        (b"{}", "text/plain", UnsupportedMediaType),
        (b"{}" + b" " * 10_000, "application/json", RequestTooLarge),
    ],
)
def test_another_body_is_refused(body: bytes, kind: str, error: type[GatewayError]) -> None:
    """With the limit of the settings."""
    with pytest.raises(error):
        doorstep(FakeKimi()).json_object(request(body=body, kind=kind))
