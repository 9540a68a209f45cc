"""Unary answers for the tests."""

from __future__ import annotations

import json

from app.kimi.http import HttpAnswer


def json_answer(value: object, status: int = 200) -> HttpAnswer:
    """An answer in JSON."""
    return HttpAnswer(status, {"content-type": "application/json; charset=utf-8"}, json.dumps(value).encode())


def page(status: int, body: bytes = b"<!doctype html><title>Just a moment...</title>") -> HttpAnswer:
    """A web page in place of an answer."""
    return HttpAnswer(status, {"content-type": "text/html; charset=UTF-8"}, body)
