"""Connect errors, and the two shapes in which they travel (B9)."""

from emulator.accounts import Account, InvalidTokenError, RestrictedError
from emulator.answers import KimiError
from emulator.connect_frames import END_STREAM, STREAM_TYPE, frame
from emulator.exchange import Reply, json_reply
from emulator.identifiers import moment
from emulator.steps import Send
from emulator.values import encode

_HTTP = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "resource_exhausted": 429,
    "internal": 500,
    "unimplemented": 501,
    "unavailable": 503,
    "deadline_exceeded": 504,
}
_CODES = {status: code for code, status in _HTTP.items()}

STREAM_HEADERS = (("connect-accept-encoding", "gzip"),)
"""The site advertises gzip on every stream, and was never seen to use it (B1)."""


class RpcError(Exception):
    """A request that the site refuses."""

    def __init__(self, code: str, message: str, reason: str = "", reset_time: str = "") -> None:
        super().__init__(message)
        self.error = KimiError(code, reason, message, reset_time=reset_time)

    def unary(self) -> Reply:
        """Answer as JSON with the HTTP status of the code."""
        return json_reply(_HTTP[self.error.code], self.error.as_json())

    def trailer(self) -> Reply:
        """Answer as a stream that holds nothing but its end, under HTTP 200."""
        end = Send(frame(encode({"error": self.error.as_json()}), END_STREAM))
        return Reply(200, STREAM_TYPE, (end,), headers=STREAM_HEADERS)


def spent(account: Account) -> RpcError:
    """Say that the quota is used up, and when it will be full again if that is told.

    No such answer was ever captured. The code is B9's, which knows no reason besides overload; the
    time has the name and the nine digits of the usage figures in captures/11.
    """
    reset_time = "" if account.resets_at is None else moment(account.resets_at, 9)
    return RpcError("resource_exhausted", "Your quota is used up.", reset_time=reset_time)


def outage(status: int) -> Reply:
    """Answer a unary call that a test wants to fail, with the code that belongs to the status."""
    return json_reply(status, KimiError(_CODES.get(status, "unknown"), message="planned").as_json())


def refusal(error: InvalidTokenError | RestrictedError) -> RpcError:
    """Say in Connect's words why a bearer was not let in."""
    if isinstance(error, RestrictedError):
        return RpcError("permission_denied", "this account is restricted")
    return RpcError("unauthenticated", "the token is not valid", "REASON_INVALID_AUTH_TOKEN")
