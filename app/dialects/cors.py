"""Browsers: which pages of other sites may use the service, and what they may read of its answers.

A preflight bears no credentials, and is answered before anything else. The headers that it asks for are repeated: SDKs
that run in browsers send many, and new ones with every version. Answers with an error bear the headers as well, or a
page could not tell what went wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask, Response, request

from app.errors import OriginRefused

ANY = "*"

_METHODS = "GET, POST, DELETE, OPTIONS"
_MAX_AGE = "7200"  # seconds; Chromium takes no more
_EXPOSED = "x-request-id, request-id, retry-after, x-should-retry, x-usage, x-prompt, x-warnings"


def install(app: Flask, origins: Sequence[str]) -> None:
    """Let pages of these origins in, or with `*` those of any. No cookie is ever read, so none is asked for."""

    def allowed(origin: str) -> bool:
        own = origin.partition("://")[2] == request.host  # the scheme may be another behind a proxy
        return ANY in origins or own or origin in origins

    def let_in() -> Response | None:
        origin = request.headers.get("Origin")
        if origin is not None and not allowed(origin):
            raise OriginRefused("Pages of this origin may not use the service; its CORS_ORIGINS lists those that may.")
        if request.method != "OPTIONS":
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = response.headers["Allow"] = _METHODS
        response.headers["Access-Control-Max-Age"] = _MAX_AGE
        if asked := request.headers.get("Access-Control-Request-Headers"):
            response.headers["Access-Control-Allow-Headers"] = asked
            response.vary.add("Access-Control-Request-Headers")
        return response

    def mark(response: Response) -> Response:
        origin = request.headers.get("Origin")
        if ANY not in origins:
            response.vary.add("Origin")
        if origin is not None and allowed(origin):
            response.headers["Access-Control-Allow-Origin"] = ANY if ANY in origins else origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        return response

    app.before_request(let_in)
    app.after_request(mark)
