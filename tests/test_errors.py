"""The error tree against the contract's table, copied by hand."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest

from app import errors as bound
from app.errors import (
    ConversationNotFound,
    FileNotFound,
    GatewayError,
    NotFound,
    NothingSaid,
    RateLimitExceeded,
    SecondStreamRefused,
    ToolCallUnreadable,
    UpstreamBlocked,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamUnavailable,
    UpstreamUnreachable,
)

CONTRACT = {
    400: {"invalid_request", "context_length_exceeded", "content_filtered", "attachment_refused"},
    401: {"missing_api_key", "invalid_api_key", "token_expired"},
    403: {"account_restricted", "plan_required", "origin_refused"},
    404: {"not_found", "conversation_not_found", "file_not_found"},
    405: {"method_not_allowed"},
    408: {"request_timeout"},
    413: {"request_too_large"},
    415: {"unsupported_media_type"},
    421: {"unknown_host"},
    429: {"rate_limit_exceeded", "upstream_busy"},
    502: {"upstream_protocol_error", "upstream_truncated"},
    503: {"upstream_unavailable", "no_account_ready", "overloaded"},
    504: {"upstream_timeout"},
}
"""Section 5."""

NEVER_PROMISED = {(499, "client_closed_request"), (500, "internal_error"), (502, "structured_output_failed")}
"""Nobody reads the first, the second is a defect, and the third came with structured output (docs/architecture.md)."""

LATER = {"request_timeout", "unknown_host"}
"""Rows of what is not built yet."""

FINER = {
    SecondStreamRefused: RateLimitExceeded,
    UpstreamBlocked: UpstreamProtocolError,
    UpstreamUnreachable: UpstreamUnavailable,
    NothingSaid: UpstreamBusy,
    ToolCallUnreadable: UpstreamProtocolError,
}
"""Classes that share the row of another."""

OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    499: "api_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "api_error",
}

SWITCHING = {"token_expired", "account_restricted", "rate_limit_exceeded", "upstream_busy"}
"""The codes for which another account is tried."""


def tree(kind: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """All classes below the root."""
    for child in kind.__subclasses__():
        yield child
        yield from tree(child)


CLASSES = sorted(set(tree()), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_has_a_row_of_the_contract(kind: type[GatewayError]) -> None:
    """With its status and code."""
    assert kind.code in CONTRACT.get(kind.status, set()) or (kind.status, kind.code) in NEVER_PROMISED


def test_every_row_of_the_contract_has_one_class() -> None:
    """But for those that are still to come; a finer distinction within a row is below its class."""
    promised = sorted(code for codes in CONTRACT.values() for code in codes - LATER)
    rows = [kind for kind in CLASSES if kind not in FINER and (kind.status, kind.code) not in NEVER_PROMISED]
    assert sorted(kind.code for kind in rows) == promised


@pytest.mark.parametrize(("kind", "row"), list(FINER.items()))
def test_a_finer_distinction_is_the_same_to_a_client(kind: type[GatewayError], row: type[GatewayError]) -> None:
    """Only the gateway makes it."""
    assert issubclass(kind, row)
    assert [kind.status, kind.code, kind.type] == [row.status, row.code, row.type]
    assert [kind.another_account, kind.pause] == [row.another_account, row.pause]


def test_a_file_that_is_not_there_is_no_conversation_that_is_not_there() -> None:
    """Of either loss something else is made good; to a client both are 404."""
    error = FileNotFound("No file of this id.", param="messages.0.content.1")
    assert [error.status, error.code, error.type] == [404, "file_not_found", "invalid_request_error"]
    assert [error.param, error.retryable, error.another_account] == ["messages.0.content.1", False, False]
    assert isinstance(error, NotFound)
    assert not isinstance(error, ConversationNotFound)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_type_is_openai_s_word_for_the_status(kind: type[GatewayError]) -> None:
    """SDKs of OpenAI show it."""
    assert kind.type == OPENAI_TYPES[kind.status]


def test_another_account_is_tried_for_the_contract_s_codes_only() -> None:
    """A completion is not sent twice for what another account cannot mend."""
    assert {kind.code for kind in CLASSES if kind.another_account} == SWITCHING


@pytest.mark.parametrize("kind", CLASSES)
def test_a_pause_is_known_with_429_only(kind: type[GatewayError]) -> None:
    """Quota and overload end by waiting."""
    assert kind.pause == (30.0 if kind.status == 429 else None)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_pause_that_nobody_told_is_not_told(kind: type[GatewayError]) -> None:
    """Who knows better must see that nothing is known: the usual pause stands beside it."""
    error = kind("x")
    assert [error.retry_after, error.resets_at] == [None, None]


def test_a_pause_that_is_known_may_be_none_at_all() -> None:
    """Zero seconds are not unknown."""
    assert UpstreamBusy("x", retry_after=0.0).retry_after == 0.0


@pytest.mark.parametrize("kind", CLASSES)
def test_nothing_is_worth_repeating_unless_it_is_said(kind: type[GatewayError]) -> None:
    """SDKs send a failed request three times if they are not told."""
    assert not kind("x").retryable


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_reads_as_its_message(kind: type[GatewayError]) -> None:
    """In a traceback as in an answer."""
    error = kind("a sentence", param="messages")
    assert [str(error), error.message, error.param] == ["a sentence", "a sentence", "messages"]


def test_the_drawing_shows_every_class() -> None:
    """The module opens with the tree."""
    drawing = importlib.import_module("app.errors").__doc__ or ""
    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in drawing] == []


def test_the_package_s_errors_are_the_tree() -> None:
    """`from app import errors` must not depend on what was imported before."""
    assert bound.__name__ == "app.errors"
