"""The last border before the wire: every error becomes a JSON answer in the dialect of its path.

Nothing of a foreign exception's text leaves the house; the log has it, under the request's id.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import orjson
from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from app import errors
from app.dialects.anthropic.errors import error_answer as anthropic
from app.dialects.gemini.errors import error_answer as gemini
from app.dialects.openai.errors import error_answer as openai
from app.dialects.paths import Dialect, dialect_of
from app.errors import GatewayError
from app.observability.defects import log_defect
from app.observability.hooks import current_record

_log = logging.getLogger(__name__)

_Shape = Callable[[GatewayError, str], tuple[int, dict[str, object]]]

_SHAPES: dict[Dialect, _Shape] = {Dialect.OPENAI: openai, Dialect.ANTHROPIC: anthropic, Dialect.GEMINI: gemini}

_HTTP_ERRORS: dict[type[HTTPException], Callable[[], GatewayError]] = {
    NotFound: lambda: errors.NotFound("There is nothing at this path; see the README for the endpoints."),
    MethodNotAllowed: lambda: errors.MethodNotAllowed(f"The method {request.method} is not allowed here."),
    RequestEntityTooLarge: lambda: errors.RequestTooLarge("The request is too large."),
}


def install(app: Flask) -> None:
    """Answer every error that leaves a view, and name the request as the dialect of its path does."""
    app.after_request(_named)
    app.register_error_handler(GatewayError, _answer)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ParseException, _broken_body)
    app.register_error_handler(Exception, _defect)


def _named(response: Response) -> Response:
    """The answer with the request's id where Anthropic's SDKs look for it."""
    if dialect_of(request.path, request.headers) is Dialect.ANTHROPIC:
        response.headers["request-id"] = current_record().request_id
    return response


def _answer(error: GatewayError) -> Response:
    record = current_record()
    record.code = error.code
    status, body = _SHAPES[dialect_of(request.path, request.headers)](error, record.request_id)
    response = Response(orjson.dumps(body), status=status, content_type="application/json")
    # SDKs repeat failed requests by themselves: three conversations for one failure, unless they are told not to.
    response.headers["x-should-retry"] = "true" if error.retryable else "false"
    if error.wait is not None:
        response.headers["Retry-After"] = str(math.ceil(error.wait))
    if isinstance(error, errors.RequestTooLarge):
        _close_connection()
    return response


def _http_error(error: HTTPException) -> Response:
    for kind, ours in _HTTP_ERRORS.items():
        if isinstance(error, kind):
            response = _answer(ours())
            if isinstance(error, MethodNotAllowed) and error.valid_methods:
                response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
            return response
    return _answer(errors.InvalidRequest("The request cannot be understood."))


def _broken_body(_error: ParseException) -> Response:
    return _answer(errors.InvalidRequest("The body's framing is broken."))


def _defect(error: Exception) -> Response:
    log_defect(_log, "a request failed unexpectedly", error)
    return _answer(errors.InternalError("The gateway failed unexpectedly; its log has the details."))


def _close_connection() -> None:
    """Give the connection up after this answer, because its body will not be read.

    A WSGI application cannot close by a header; gunicorn.conf.py puts a way to do it beside the body.
    """
    force_close = getattr(request.environ.get("wsgi.input"), "force_close", None)
    if force_close is not None:
        force_close()
