"""Our errors for those of requests, urllib3 and the socket; none of their texts goes further.

requests puts URLs and headers into them, and hides urllib3's exceptions in its arguments: so they are told apart by the
names of the classes of all that caused them.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import requests

from app.errors import GatewayError, UpstreamTimeout, UpstreamUnavailable, UpstreamUnreachable
from app.kimi.http import HttpRequest

CONNECT_TIMEOUT = 5.0
"""Seconds until a connection, and for each piece of a request to leave."""


def mapped(error: Exception, request: HttpRequest) -> GatewayError:
    """Our error for a foreign one raised before an answer began; it names the host and nothing else."""
    host = urlsplit(request.url).hostname
    if isinstance(error, requests.ConnectTimeout):
        return UpstreamUnreachable(f"{host} could not be reached in {CONNECT_TIMEOUT:g} s.", retryable=True)
    if is_timeout(error):
        return UpstreamTimeout(f"{host} did not answer in time.")
    if "SSLCertVerificationError" in _reasons(error):
        return UpstreamUnreachable(f"No trusted connection to {host}: its certificate is refused.")
    # Only where no connection came about is it certain that nothing was sent.
    if _reasons(error) & {"NewConnectionError", "NameResolutionError"}:
        return UpstreamUnreachable(f"{host} could not be reached.", retryable=True)
    return UpstreamUnavailable(f"{host} closed the connection without an answer.")


def timed_out(left: float) -> UpstreamTimeout:
    """The error of an answer that fell silent, with `left` seconds of the time for all of it."""
    if left > 0:
        return UpstreamTimeout("Kimi stopped sending in the middle of an answer.")
    return UpstreamTimeout("Kimi's answer took longer than the gateway allows.")


def _reasons(error: BaseException) -> set[str]:
    """The class names of an exception and all that caused it; requests hides urllib3's in its arguments."""
    names: set[str] = set()
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            names.add(type(current).__name__)
            pending += [*current.args, getattr(current, "reason", None), current.__cause__]
    return names


def is_timeout(error: BaseException) -> bool:
    """Whether an exception is, or was caused by, a limit of time."""
    return bool(_reasons(error) & {"ReadTimeout", "ReadTimeoutError", "TimeoutError", "timeout"})
