"""Our errors for foreign ones."""

from __future__ import annotations

import socket
import ssl

import pytest
import requests
import urllib3

from app.errors import GatewayError, UpstreamTimeout, UpstreamUnavailable, UpstreamUnreachable
from app.kimi.http import HttpRequest
from app.kimi.transport_errors import CONNECT_TIMEOUT, is_timeout, mapped, timed_out
from tests.kimi.foreign import FOREIGN, name_of

REQUEST = HttpRequest("GET", "https://www.kimi.com/secret?token=abc", {"Authorization": "Bearer abc"})
POOL = urllib3.HTTPConnectionPool("www.kimi.com")
CONNECTION = urllib3.connection.HTTPConnection("www.kimi.com")


def made(kind: type[BaseException]) -> Exception:
    """An exception of this class; their constructors differ too much to be called."""
    error = kind.__new__(kind)
    error.args = ("Bearer abc",)
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize("kind", FOREIGN, ids=name_of)
def test_every_foreign_exception_is_mapped(kind: type[BaseException]) -> None:
    """To one of ours, whose message names the host and nothing else."""
    error = mapped(made(kind), REQUEST)
    assert isinstance(error, UpstreamUnavailable | UpstreamTimeout)
    assert "www.kimi.com" in error.message
    assert "abc" not in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (requests.ConnectTimeout(), UpstreamUnreachable, True),
        (requests.ConnectionError(urllib3.exceptions.NewConnectionError(CONNECTION, "x")), UpstreamUnreachable, True),
        (
            requests.ConnectionError(urllib3.exceptions.NameResolutionError("x", CONNECTION, socket.gaierror())),
            UpstreamUnreachable,
            True,
        ),
        (requests.ReadTimeout(), UpstreamTimeout, False),
        (TimeoutError(), UpstreamTimeout, False),
        (requests.ConnectionError(urllib3.exceptions.ProtocolError("x", TimeoutError())), UpstreamTimeout, False),
        (
            requests.ConnectionError(urllib3.exceptions.ProtocolError("x", ConnectionResetError())),
            UpstreamUnavailable,
            False,
        ),
        (requests.exceptions.SSLError(), UpstreamUnavailable, False),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError()), UpstreamUnreachable, False),
        (ssl.SSLEOFError(), UpstreamUnavailable, False),
        (requests.exceptions.InvalidURL(), UpstreamUnavailable, False),
    ],
)
def test_only_what_was_never_sent_may_be_sent_again(
    error: Exception, kind: type[GatewayError], *, retryable: bool
) -> None:
    """SDKs repeat what is retryable by themselves."""
    ours = mapped(error, REQUEST)
    assert [type(ours), ours.retryable] == [kind, retryable]


def test_the_limit_for_a_connection_is_named() -> None:
    """So that the person knows how long was tried."""
    assert mapped(requests.ConnectTimeout(), REQUEST).message == "www.kimi.com could not be reached in 5 s."
    assert CONNECT_TIMEOUT == 5.0


def test_a_url_without_a_host_is_mapped_all_the_same() -> None:
    """The error of an error would say nothing."""
    assert type(mapped(requests.exceptions.MissingSchema(), HttpRequest("GET", "nothing", {}))) is UpstreamUnavailable


def caused(cause: BaseException) -> Exception:
    """An error that was raised because of another."""
    error = OSError("x")
    error.__cause__ = cause
    return error


def reasoned(reason: Exception | None) -> Exception:
    """An error as urllib3 gives up with."""
    return urllib3.exceptions.MaxRetryError(POOL, "/", reason)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), True),
        (requests.ReadTimeout(), True),
        (urllib3.exceptions.ReadTimeoutError(POOL, "/", "x"), True),
        (requests.ConnectionError(reasoned(TimeoutError())), True),
        (caused(caused(TimeoutError())), True),
        (OSError(OSError(TimeoutError())), True),
        (OSError("TimeoutError"), False),
        (ConnectionResetError(), False),
        (reasoned(None), False),
    ],
    ids=["socket", "requests", "urllib3", "in a reason", "in a cause", "in arguments", "in words", "reset", "none"],
)
def test_a_limit_of_time_is_found_wherever_it_hides(error: Exception, *, expected: bool) -> None:
    """The classes tell it, never the words."""
    assert is_timeout(error) is expected


def test_errors_that_cause_each_other_end() -> None:
    """A ring of causes is looked at once."""
    first, second = OSError("x"), OSError("y")
    first.__cause__, second.__cause__ = second, first
    assert not is_timeout(first)


def test_a_silence_that_takes_all_of_the_time_is_named_by_it() -> None:
    """As long as some is left, it is the silence that was too long."""
    assert "stopped sending" in timed_out(0.1).message
    assert "longer than the gateway allows" in timed_out(0.0).message
