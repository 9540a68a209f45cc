"""Classes of errors by the words under which they are remembered."""

from __future__ import annotations

import pytest

from app.accounts.kinds import by_code, by_name
from app.errors import GatewayError
from tests.test_errors import CLASSES, FINER


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind not in FINER and kind.code != "internal_error"])
def test_an_error_is_found_again_by_its_code(kind: type[GatewayError]) -> None:
    """Workers tell each other of errors by code: it is the class of the row, not a finer one."""
    assert by_code(kind.code) is kind


@pytest.mark.parametrize("code", ["", "no_such_code", "RATE_LIMIT_EXCEEDED", "internal_error"])
def test_a_code_that_says_nothing_more_is_any_error(code: str) -> None:
    """Another version may have written it."""
    assert by_code(code) is GatewayError


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_is_found_again_by_its_name(kind: type[GatewayError]) -> None:
    """Where the finer distinction counts."""
    assert by_name(kind.__name__) is kind


@pytest.mark.parametrize("name", ["", "NoSuchError", "gatewayerror", "ValueError", "rate_limit_exceeded"])
def test_a_name_that_says_nothing_more_is_any_error(name: str) -> None:
    """Another version may have written it."""
    assert by_name(name) is GatewayError
