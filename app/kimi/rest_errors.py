"""Errors of the legacy protocol: events of a stream and answers in place of one (protocol.md A6)."""

from __future__ import annotations

import re

from app.errors import (
    AccountRestricted,
    ContentFiltered,
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    SecondStreamRefused,
    TokenExpired,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamUnavailable,
)
from app.kimi import connect_errors, json
from app.kimi.http import HttpAnswer

_SECOND_STREAM_PAUSE = 10.0
"""Seconds to wait when Kimi still streams another answer: its end is not announced."""


_ERROR_TYPES: tuple[tuple[re.Pattern[str], type[GatewayError], str], ...] = (
    (re.compile(r"auth\."), TokenExpired, "Kimi does not accept the token: log in again."),
    (re.compile(r"chat\.not_found"), ConversationNotFound, "Kimi does not know this conversation."),
    (re.compile(r"chat\.forbidden"), AccountRestricted, "Kimi has disabled this conversation."),
    (
        re.compile(r".*token_length_too_long"),
        ContextLengthExceeded,
        "Kimi refused the prompt as too long.",
    ),
    (
        re.compile(r".*(sensitive|filter|moderation|violat)"),
        ContentFiltered,
        "Kimi's content rules refused this prompt or its answer.",
    ),
    (re.compile(r"openai\.completion"), UpstreamBusy, "Kimi is overloaded."),
    (re.compile(r"internal"), UpstreamUnavailable, "Kimi failed with an error of its own."),
)


def from_type(error_type: str) -> GatewayError:
    """The error that a legacy `error_type` means (protocol.md A6)."""
    if error_type == "chat.user_stream_pushing":
        return SecondStreamRefused(
            "Kimi still streams another answer of this account.", retry_after=_SECOND_STREAM_PAUSE
        )
    for pattern, kind, message in _ERROR_TYPES:
        if pattern.match(error_type):
            return kind(message)
    return UpstreamProtocolError("Kimi answered with an error of an unknown kind.")


def from_answer(answer: HttpAnswer) -> GatewayError:
    """The error that an answer means which should have been a stream or a success."""
    try:
        error_type = json.text(json.parse(answer.body), "error_type")
    except ValueError:
        error_type = ""
    return from_type(error_type) if error_type else connect_errors.from_answer(answer)
