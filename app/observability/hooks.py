"""Around every request: its id, and one log line when its answer is over."""

from __future__ import annotations

import logging
import re
import uuid

from flask import Flask, Response, g, request

from app.observability.record import RequestRecord

_log = logging.getLogger("kimi_gateway.request")
_SANE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def install(app: Flask) -> None:
    """Give each request a RequestRecord (`current_record`) and its answer an `x-request-id`."""
    app.before_request(_begin)
    app.after_request(_end)


def current_record() -> RequestRecord:
    """The record of the request being handled."""
    record: RequestRecord = g.request_record
    return record


def _begin() -> None:
    given = request.headers.get("x-request-id", "")
    g.request_record = RequestRecord(given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex)


def _end(response: Response) -> Response:
    record = current_record()
    response.headers["x-request-id"] = record.request_id
    # The path may hold an id that a client made up; the route it matched says enough.
    where = {"method": request.method, "route": str(request.url_rule or "unknown"), "status": response.status_code}
    response.call_on_close(lambda: _log.info("request", extra={"fields": {**where, **record.fields()}}))
    return response
