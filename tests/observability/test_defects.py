"""How a defect of ours is logged."""

from __future__ import annotations

import logging

import pytest

from app.observability.defects import log_defect
from app.observability.log import JsonFormatter

SECRET = "what the client wrote"


def crash() -> None:
    """Raise an exception with a cause, both of which quote the client."""
    try:
        int(SECRET)
    except ValueError as error:
        raise KeyError(SECRET) from error


def crashed() -> Exception:
    """The exception, with its traceback."""
    with pytest.raises(KeyError) as caught:
        crash()
    return caught.value


def logged(error: Exception, caplog: pytest.LogCaptureFixture) -> str:
    """The line that is written."""
    log_defect(logging.getLogger("test"), "it failed", error)
    (record,) = caplog.records
    return JsonFormatter().format(record)


def test_a_defect_is_logged_with_type_and_place(caplog: pytest.LogCaptureFixture) -> None:
    """And with what led to it."""
    line = logged(crashed(), caplog)
    assert "it failed" in line
    assert "KeyError" in line
    assert "ValueError" in line
    assert "test_defects.py" in line
    assert " crash" in line


def test_a_defect_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    """They may be the client's."""
    assert SECRET not in logged(crashed(), caplog)


def test_a_chain_without_end_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """An exception may lead to itself."""
    error = ValueError("x")
    error.__cause__ = KeyError("y")
    error.__cause__.__cause__ = error
    assert logged(error, caplog).count("ValueError") == 4
