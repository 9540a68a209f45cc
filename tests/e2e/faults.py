"""The faults of Kimi's that the error tests play, and what a client must be told of each (contract, section 5).

A case is (id, planned answer, status, code). The answers fail before their first word.
"""

from dataclasses import dataclass, field

Plan = dict[str, object]


@dataclass(frozen=True)
class Case:
    """One fault. `retry_after` tells whether the client is to wait before the next attempt."""

    name: str
    plan: Plan
    status: int
    code: str
    retry_after: bool = field(default=False)


def trailer(code: str, reason: str = "", **more: object) -> Plan:
    """An error in the end-stream frame, before a chat is opened."""
    return {"faults": {"error_trailer": {"code": code, "reason": reason, "after_text": -1, **more}}}


def frame(code: str, reason: str = "") -> Plan:
    """An error in a data frame, before the first word."""
    return {"faults": {"error_frame": {"code": code, "reason": reason}}}


def unary(status: int, body: object) -> Plan:
    """A JSON answer in place of the stream."""
    return {"faults": {"json_error": {"status": status, "body": body}}}


def legacy(error_type: str, status: int | None = None) -> Plan:
    """An error of the legacy site: in the stream, or with a status as plain JSON."""
    error = {"error_type": error_type, "message": "secret words of Kimi's"}
    return {"faults": {"legacy_error": error if status is None else {**error, "status": status}}}


GARBAGE: Plan = {"frames": [{"_raw": "AP///////////w=="}]}  # a frame of 4 GiB is announced
NO_JSON: Plan = {"frames": [{"_raw": "AAAAAARqdW5r"}]}  # a frame that holds the word junk
TRUNCATED = "upstream_truncated"
PROTOCOL = "upstream_protocol_error"

EITHER = [
    Case("html-200", {"faults": {"html": True}}, 502, PROTOCOL),
    Case("html-403", {"status": 403, "faults": {"html": True}}, 502, PROTOCOL),
    Case("html-503", {"status": 503, "faults": {"html": True}}, 503, "upstream_unavailable"),
    Case("html-522", {"status": 522, "faults": {"html": True}}, 503, "upstream_unavailable"),
    Case("json-200", unary(200, {"hello": "world"}), 502, PROTOCOL),
    Case("plain-429", {"status": 429, "body": "slow down"}, 429, "rate_limit_exceeded", retry_after=True),
    Case("plain-500", {"status": 500, "body": "oops"}, 503, "upstream_unavailable"),
    Case("redirect", {"status": 302, "headers": {"location": "http://127.0.0.1:9/"}}, 502, PROTOCOL),
    Case("cut-after-headers", {"faults": {"cut_after": 0}}, 502, TRUNCATED),
    Case("cut-in-the-opening", {"faults": {"cut_after": 3}}, 502, TRUNCATED),
    Case("reset-in-the-opening", {"faults": {"cut_after": 3, "cut": "rst"}}, 502, TRUNCATED),
    Case("cut-before-headers", {"faults": {"cut_after": -1}}, 503, "upstream_unavailable"),
    Case("reset-before-headers", {"faults": {"cut_after": -1, "cut": "rst"}}, 503, "upstream_unavailable"),
    Case("second-stream", {"faults": {"stream_pushing": True}}, 429, "rate_limit_exceeded", retry_after=True),
    Case("empty", {"faults": {"empty": True}}, 429, "upstream_busy", retry_after=True),
    Case("empty-and-cut", {"faults": {"empty": True, "no_trailer": True, "cut_after": 4}}, 502, TRUNCATED),
]

CONNECT = [
    Case("overload", {"faults": {"overload_trailer": True}}, 429, "upstream_busy", retry_after=True),
    Case(
        "overload-frame",
        frame("resource_exhausted", "REASON_SERVER_OVERLOADED_FOR_FREE_USER"),
        429,
        "upstream_busy",
        retry_after=True,
    ),
    Case("exception-block", {"faults": {"exception_block": True}}, 429, "upstream_busy", retry_after=True),
    Case("quota", trailer("resource_exhausted"), 429, "rate_limit_exceeded", retry_after=True),
    Case("quota-unary", unary(429, {"code": "resource_exhausted"}), 429, "rate_limit_exceeded", retry_after=True),
    Case("unauthenticated", trailer("unauthenticated", "REASON_INVALID_AUTH_TOKEN"), 401, "token_expired"),
    Case("unauthenticated-unary", unary(401, {"code": "unauthenticated"}), 401, "token_expired"),
    Case("restricted", trailer("permission_denied"), 403, "account_restricted"),
    Case("restricted-unary", unary(403, {"code": "permission_denied"}), 403, "account_restricted"),
    Case("paywall", trailer("permission_denied", paywall={"level": 1}), 403, "plan_required"),
    Case("paywall-empty", trailer("permission_denied", paywall=True), 403, "plan_required"),
    Case("invalid", trailer("invalid_argument"), 400, "invalid_request"),
    Case("not-found", trailer("not_found"), 404, "conversation_not_found"),
    Case("unavailable", trailer("unavailable"), 503, "upstream_unavailable"),
    Case("internal", frame("internal"), 503, "upstream_unavailable"),
    Case("deadline", trailer("deadline_exceeded"), 504, "upstream_timeout"),
    Case("unimplemented", trailer("unimplemented"), 502, PROTOCOL),
    Case("unknown-code", trailer("hologram"), 502, PROTOCOL),
    Case("unknown-call", unary(404, {"code": "unimplemented"}), 502, PROTOCOL),
    Case("garbage", GARBAGE, 502, PROTOCOL),
    Case("no-json", NO_JSON, 502, PROTOCOL),
    Case("compressed-unannounced", {"faults": {"compressed_bit": True}}, 502, PROTOCOL),
]

LEGACY = [
    Case("auth", legacy("auth.token.invalid"), 401, "token_expired"),
    Case("forbidden", legacy("chat.forbidden", 403), 403, "account_restricted"),
    Case("overload", legacy("openai.completion.stream"), 429, "upstream_busy", retry_after=True),
    Case("too-long", legacy("openai.completion.token_length_too_long"), 400, "context_length_exceeded"),
    Case("too-long-unary", legacy("openai.completion.token_length_too_long", 400), 400, "context_length_exceeded"),
    Case("not-found", legacy("chat.not_found", 404), 404, "conversation_not_found"),
    Case("internal", legacy("internal.error", 404), 503, "upstream_unavailable"),
    Case("unknown", legacy("hologram"), 502, PROTOCOL),
    Case(
        "connect-shape",
        unary(403, {"code": "permission_denied", "details": [{"debug": {"reason": "REASON_BANNED"}}]}),
        403,
        "account_restricted",
    ),
]
