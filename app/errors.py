"""The one error tree: whatever goes wrong on the way of a request is one of these.

GatewayError
├── InvalidRequest 400 ─┬─ ContextLengthExceeded
│                       ├─ ContentFiltered
│                       └─ AttachmentRefused
├── MissingApiKey, InvalidApiKey, TokenExpired 401
├── AccountRestricted, PlanRequired, OriginRefused 403
├── NotFound 404 ─┬─ ConversationNotFound
│                 └─ FileNotFound
├── MethodNotAllowed 405
├── RequestTooLarge 413
├── UnsupportedMediaType 415
├── RateLimitExceeded, UpstreamBusy 429
│   ├── SecondStreamRefused
│   └── NothingSaid
├── ClientGone 499              (never reaches a wire: there is nobody to tell)
├── InternalError 500           (a defect of ours)
├── UpstreamProtocolError, UpstreamTruncated 502
│   ├── UpstreamBlocked
│   └── ToolCallUnreadable
├── StructuredOutputFailed 502
├── UpstreamUnavailable, NoAccountReady, Overloaded 503
│   └── UpstreamUnreachable
└── UpstreamTimeout 504

Codes and statuses are those of the contract. Nobody classifies an error by the words of its message: each
class knows what it means, and each dialect has a table from class to its vendor's shape.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """Base of the tree.

    `message` is a sentence for the client: it never holds a token, message text or a foreign exception's text.
    `param` names the request field at fault. `retry_after` is in seconds; `resets_at` is the
    time of day at which a quota is full again, if Kimi tells it. `retryable` says that the same
    request sent again at once may succeed; it becomes `x-should-retry`. `another_account` says that a different
    account may well serve the request, so that the gateway may try one before the first event. `pause` is how many
    seconds to wait where `retry_after` is not told.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "api_error"
    another_account: ClassVar[bool] = False
    pause: ClassVar[float | None] = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.resets_at: float | None = None
        self.retryable = retryable

    @property
    def wait(self) -> float | None:
        """Seconds after which it is worth trying again: those that are told, else the usual pause, if there is one."""
        return self.pause if self.retry_after is None else self.retry_after


class InternalError(GatewayError):
    """A defect of the gateway itself; the log has the details, the client has the request id."""


class InvalidRequest(GatewayError):
    """The request cannot be understood or served as it is."""

    status = 400
    code = "invalid_request"
    type = "invalid_request_error"


class ContextLengthExceeded(InvalidRequest):
    """Kimi refused the prompt as too long."""

    code = "context_length_exceeded"


class ContentFiltered(InvalidRequest):
    """Kimi's content rules refused the prompt or the answer."""

    code = "content_filtered"


class AttachmentRefused(InvalidRequest):
    """An image or file cannot be taken."""

    code = "attachment_refused"


class MissingApiKey(GatewayError):
    """No credential came with the request."""

    status = 401
    code = "missing_api_key"
    type = "authentication_error"


class InvalidApiKey(GatewayError):
    """The credential is malformed or not one that this gateway accepts."""

    status = 401
    code = "invalid_api_key"
    type = "authentication_error"


class TokenExpired(GatewayError):
    """Kimi no longer takes the credential: the person has to log in again."""

    status = 401
    code = "token_expired"
    type = "authentication_error"
    another_account = True


class AccountRestricted(GatewayError):
    """Kimi has restricted the account."""

    status = 403
    code = "account_restricted"
    type = "permission_error"
    another_account = True


class PlanRequired(GatewayError):
    """The model or function asked for needs a paid plan of Kimi's."""

    status = 403
    code = "plan_required"
    type = "permission_error"


class OriginRefused(GatewayError):
    """A page of another site may not use the service."""

    status = 403
    code = "origin_refused"
    type = "permission_error"


class NotFound(GatewayError):
    """There is nothing at that path or under that name."""

    status = 404
    code = "not_found"
    type = "invalid_request_error"


class ConversationNotFound(NotFound):
    """Kimi does not know the conversation, or it belongs to another account."""

    code = "conversation_not_found"


class FileNotFound(NotFound):
    """No file was uploaded under that id by this account."""

    code = "file_not_found"


class MethodNotAllowed(GatewayError):
    """The path exists, but not for this method."""

    status = 405
    code = "method_not_allowed"
    type = "invalid_request_error"


class RequestTooLarge(GatewayError):
    """The body is over the limit."""

    status = 413
    code = "request_too_large"
    type = "invalid_request_error"


class UnsupportedMediaType(GatewayError):
    """The body's content type or encoding is not one that is read here."""

    status = 415
    code = "unsupported_media_type"
    type = "invalid_request_error"


class RateLimitExceeded(GatewayError):
    """The account's quota at Kimi is spent, or this gateway's own limit for it is reached."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"
    another_account = True
    pause = 30.0


class SecondStreamRefused(RateLimitExceeded):
    """Kimi refuses a second stream of the account beside the first."""


class UpstreamBusy(GatewayError):
    """Kimi is overloaded for this account's plan."""

    status = 429
    code = "upstream_busy"
    type = "rate_limit_error"
    another_account = True
    pause = 30.0


class NothingSaid(UpstreamBusy):
    """Kimi ended its answer without a word of text."""


class ClientGone(GatewayError):
    """The client hung up; what runs for it stops. The status is the one proxies log for this."""

    status = 499
    code = "client_closed_request"


class UpstreamProtocolError(GatewayError):
    """Kimi answered something that its known protocol does not allow."""

    status = 502
    code = "upstream_protocol_error"


class UpstreamBlocked(UpstreamProtocolError):
    """A web page came instead of Kimi's answer: the network, the region or a protection page stands in between."""


class ToolCallUnreadable(UpstreamProtocolError):
    """The model called a tool in a way that cannot be read, or did not call one that it had to."""


class StructuredOutputFailed(GatewayError):
    """The model did not give JSON of the form that was asked for, also when it was asked again."""

    status = 502
    code = "structured_output_failed"


class UpstreamTruncated(GatewayError):
    """Kimi's answer ended without its end mark: what came is not the whole."""

    status = 502
    code = "upstream_truncated"


class UpstreamUnavailable(GatewayError):
    """Kimi could not be reached, or answered with a server error."""

    status = 503
    code = "upstream_unavailable"


class UpstreamUnreachable(UpstreamUnavailable):
    """No connection to Kimi came about: nothing was sent."""


class NoAccountReady(GatewayError):
    """None of the accounts can serve now, each for a reason of its own."""

    status = 503
    code = "no_account_ready"


class Overloaded(GatewayError):
    """The gateway serves as many streams as it may."""

    status = 503
    code = "overloaded"


class UpstreamTimeout(GatewayError):
    """Kimi did not answer within a deadline."""

    status = 504
    code = "upstream_timeout"
