"""The values that the builders make and the transport sends."""

from __future__ import annotations

import pytest

from app.kimi.http import HttpAnswer, HttpRequest


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/connect+json", "application/connect+json"),
        ("Text/HTML; charset=UTF-8", "text/html"),
        (" application/json ;x=y", "application/json"),
        ("", ""),
    ],
)
def test_media_type(header: str, expected: str) -> None:
    """The media type is without parameters, in lower case."""
    assert expected == HttpAnswer(200, {"content-type": header}, b"").media_type


def test_missing_media_type() -> None:
    """No content type is an empty one."""
    assert HttpAnswer(200, {}, b"").media_type == ""


def test_repr_hides_secrets() -> None:
    """Headers and bodies stay out of a log."""
    assert repr(HttpRequest("GET", "https://x", {"Authorization": "SECRET"}, b"SECRET")).count("SECRET") == 0
    assert "SECRET" not in repr(HttpAnswer(200, {}, b"SECRET"))
