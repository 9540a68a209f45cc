"""What Claude Code calls its conversation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dialects.anthropic.session import session_of

UUID = "3f2a1b0c-9d8e-4f7a-8b6c-5d4e3f2a1b0c"


@pytest.mark.parametrize(
    ("user_id", "session"),
    [
        (json.dumps({"device_id": "d", "account_uuid": "", "session_id": UUID}), UUID),
        (json.dumps({"device_id": "d", "account_uuid": "a"}), None),
        (json.dumps({"session_id": 7}), None),
        (json.dumps({"session_id": "a b"}), None),
        (json.dumps({"session_id": "a" * 257}), None),
        ('{"session_id": "a"', None),
        ('{"session_id":' * 20_000, None),
        (f"user_0f_account__session_{UUID}", UUID),
        (f"user_0f_account_{UUID}_session_{UUID}", UUID),
        ("user_0f_account__session_", None),
        ("user_0f", None),
        ("somebody@example.com", None),
        ("", None),
        (7, None),
        (None, None),
    ],
)
def test_only_a_session_names_a_conversation(user_id: object, session: str | None) -> None:
    """Never the user alone: all of a person's conversations would be one."""
    assert session_of({"user_id": user_id}) == session


@pytest.mark.parametrize("metadata", [None, {}, [], "a", 7, {"user": "a"}])
def test_without_a_user_id_there_is_none(metadata: object) -> None:
    """It is a hint."""
    assert session_of(metadata) is None


@given(st.text() | st.dictionaries(st.sampled_from(["session_id", "a"]), st.integers() | st.text()).map(json.dumps))
def test_no_user_id_is_an_error(user_id: str) -> None:
    """It is opaque to everybody but the client."""
    session = session_of({"user_id": user_id})
    assert session is None or session in user_id
