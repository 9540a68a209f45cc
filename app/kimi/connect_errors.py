"""Errors of the Connect protocol, wherever they stand: trailer, data frame, exception block, unary answer.

Shapes and codes: protocol.md B9. A shape of a content-filter answer was never captured; reasons that name a filter are
taken for one.
"""

from __future__ import annotations

import re

from app.errors import (
    AccountRestricted,
    ContentFiltered,
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    PlanRequired,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBlocked,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.kimi import json
from app.kimi.http import HttpAnswer

_BY_CODE: dict[str, tuple[type[GatewayError], str]] = {
    "unauthenticated": (TokenExpired, "Kimi does not accept the access token: log in again."),
    "permission_denied": (AccountRestricted, "Kimi refuses this account."),
    "invalid_argument": (InvalidRequest, "Kimi refused the request as invalid."),
    "failed_precondition": (InvalidRequest, "Kimi refused the request in its present state."),
    "out_of_range": (ContextLengthExceeded, "Kimi refused the prompt as too long."),
    "not_found": (ConversationNotFound, "Kimi does not know this conversation."),
    "resource_exhausted": (RateLimitExceeded, "The account's quota at Kimi is spent for now."),
    "deadline_exceeded": (UpstreamTimeout, "Kimi gave up on the answer."),
    "unavailable": (UpstreamUnavailable, "Kimi is not available."),
    "internal": (UpstreamUnavailable, "Kimi failed with an error of its own."),
    "unknown": (UpstreamUnavailable, "Kimi failed with an error of its own."),
    "aborted": (UpstreamUnavailable, "Kimi aborted the answer."),
    "unimplemented": (UpstreamProtocolError, "Kimi no longer offers this call."),
}

_BY_REASON: tuple[tuple[re.Pattern[str], type[GatewayError], str], ...] = (
    (
        re.compile("OVERLOADED"),
        UpstreamBusy,
        "Kimi is overloaded and refuses this account for now.",
    ),
    (re.compile("AUTH_TOKEN|UNAUTHENTICATED"), *_BY_CODE["unauthenticated"]),
    (
        re.compile("SENSITIVE|FILTER|MODERATION|VIOLATION"),
        ContentFiltered,
        "Kimi's content rules refused this prompt or its answer.",
    ),
    (re.compile("LENGTH|TOO_LONG"), *_BY_CODE["out_of_range"]),
    (
        re.compile("BANNED|FORBIDDEN|RESTRICT"),
        AccountRestricted,
        "Kimi has restricted this account.",
    ),
)

_BY_STATUS: dict[int, tuple[type[GatewayError], str]] = {
    400: _BY_CODE["invalid_argument"],
    401: _BY_CODE["unauthenticated"],
    403: _BY_CODE["permission_denied"],
    404: (UpstreamProtocolError, "Kimi no longer offers this call."),
    405: (UpstreamProtocolError, "Kimi no longer offers this call."),
    429: _BY_CODE["resource_exhausted"],
    501: (UpstreamProtocolError, "Kimi no longer offers this call."),
    504: _BY_CODE["deadline_exceeded"],
}

_SERVER_ERROR = 500


def from_object(error: object) -> GatewayError:
    """The error that a Connect error object (`code`, `details[].debug`) or an exception block's error means."""
    places = _places(error)
    found = _meant(error, places)
    # The answers about quotas carry this field (protocol.md B11); an error that carries it means the same by it.
    found.resets_at = next((at for place in places if (at := json.timestamp(place, "resetTime"))), None)
    return found


def saying(answer: HttpAnswer) -> str:
    """What an error answer says to people, "" if nothing."""
    try:
        error = _unwrapped(json.parse(answer.body))
    except ValueError:
        return ""
    said = (
        json.saying(place, "localizedMessage", "message") or json.saying(place, "message") for place in _places(error)
    )
    return next((words for words in said if words), "")


def _places(error: object) -> list[object]:
    """Where an error object may tell more: the debug parts, then the object itself."""
    debug = [json.member(detail, "debug") for detail in json.items(error, "details")]
    return [place for place in [*debug, json.member(error, "debug"), error] if place is not None]


def _unwrapped(body: object) -> object:
    error = json.member(body, "error")
    return error if isinstance(error, dict) else body


def _meant(error: object, places: list[object]) -> GatewayError:
    reasons = " ".join(json.text(place, "reason") for place in places)
    for pattern, kind, message in _BY_REASON:
        if pattern.search(reasons):
            return kind(message)
    # An overload invites to subscribe, too; only where no reason says more is the invitation the reason. It may be {}.
    if any(json.member(place, "paywall") is not None for place in places):
        return PlanRequired("Kimi asks for a paid plan for this.")
    kind, message = _BY_CODE.get(
        json.text(error, "code"),
        (UpstreamProtocolError, "Kimi ended the answer with an error of an unknown kind."),
    )
    return kind(message)


def from_answer(answer: HttpAnswer) -> GatewayError:
    """The error that an answer means which should have been a stream or a success: JSON, HTML or nothing."""
    try:
        body = _unwrapped(json.parse(answer.body))
    except ValueError:
        return _from_page(answer)
    if json.text(body, "code"):
        return from_object(body)
    if kind := _BY_STATUS.get(answer.status):
        return kind[0](kind[1])
    return _from_page(answer)


def _from_page(answer: HttpAnswer) -> GatewayError:
    if answer.status in {401, 429}:
        kind, message = _BY_STATUS[answer.status]
        return kind(message)
    if answer.status >= _SERVER_ERROR:
        return UpstreamUnavailable(f"Kimi's site answered {answer.status}.")
    what = answer.media_type or "nothing"
    kind = UpstreamBlocked if "html" in what else UpstreamProtocolError
    return kind(
        f"Kimi's site answered {answer.status} with {what} where its protocol has an answer: "
        "the network, the region or a protection page may stand in between."
    )
