"""The auth host: one call that exchanges a refresh token for a new pair (B3)."""

from dataclasses import replace

from emulator.accounts import InvalidTokenError, RestrictedError
from emulator.exchange import JSON_TYPE, Reply, Request, json_reply, whole_reply
from emulator.rpc import RpcError, refusal
from emulator.site import Site
from emulator.steps import pause
from emulator.values import (
    Malformed,
    as_object,
    decode_object,
    encode,
    integer,
    number,
    snake_keys,
    text,
)

REFRESH_PATH = "/api/account.gateway.v1.AuthService/RefreshToken"


def refresh(request: Request, site: Site) -> Reply:
    """Rotate the token in the body; no Authorization is looked at.

    POST /emulator/auth can order a delay, and instead of the rotation a status and a body.
    """
    planned = "status" in site.auth or "body" in site.auth
    reply = _planned(site) if planned else _rotate(request, site)
    return replace(reply, before=tuple(pause(number(site.auth, "delay"))))


def _rotate(request: Request, site: Site) -> Reply:
    try:
        wanted = as_object(snake_keys(decode_object(request.body)), "the body")
        access, renewed = site.accounts.rotate(text(wanted, "refresh_token"))
    except Malformed as error:
        return RpcError("invalid_argument", str(error)).unary()
    except (InvalidTokenError, RestrictedError) as error:
        return refusal(error).unary()
    return json_reply(200, {"accessToken": access.value, "refreshToken": renewed.value})


def _planned(site: Site) -> Reply:
    body = site.auth.get("body")
    status = integer(site.auth, "status", 200)
    if isinstance(body, str):
        return whole_reply(status, body.encode(), "text/html")
    return whole_reply(status, encode({} if body is None else body), JSON_TYPE)
