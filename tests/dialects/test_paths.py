"""Paths as people type them."""

from __future__ import annotations

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from app.dialects.paths import Dialect, canonical, dialect_of, install

CHAT = "/v1/chat/completions"
GENERATE = "/v1beta/models/kimi:generateContent"
SEGMENTS = st.sampled_from(
    ["", "v1", "v1beta", "v1alpha", "chat", "completions", "models", "kimi", "kimi:generateContent", "messages", "x"]
)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (CHAT, CHAT),
        ("/chat/completions", CHAT),
        ("/v1/v1/chat/completions", CHAT),
        ("//v1/chat/completions", CHAT),
        ("/v1//chat/completions", CHAT),
        ("/v1beta/chat/completions", CHAT),
        ("/messages", "/v1/messages"),
        ("/v1/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/responses/resp_1", "/v1/responses/resp_1"),
        ("/files", "/v1/files"),
        ("/models", "/v1/models"),
        ("/v1/models/a/b", "/v1/models/a/b"),
        ("/models/kimi:latest", "/v1/models/kimi:latest"),
        (GENERATE, GENERATE),
        ("/models/kimi:generateContent", GENERATE),
        ("/v1/models/kimi:generateContent", GENERATE),
        ("/v1beta/v1beta/models/kimi:generateContent", GENERATE),
        ("/v1/v1beta/models/kimi:generateContent", GENERATE),
        ("/v1alpha/models/kimi:streamGenerateContent", "/v1beta/models/kimi:streamGenerateContent"),
        ("/v1beta/models/kimi:embedContent", "/v1beta/models/kimi:embedContent"),
        ("/v1beta/models", "/v1beta/models"),
        ("/v1/v1beta/models", "/v1beta/models"),
        ("/v1/tunedModels/mine:generateContent", "/v1beta/tunedModels/mine:generateContent"),
    ],
)
def test_a_path_with_any_versions_leads_to_its_door(typed: str, meant: str) -> None:
    """Each client adds what it thinks is missing."""
    assert canonical(typed) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/v1/models", "/v1beta/models"),
        ("/models", "/v1beta/models"),
        ("/v1/models/kimi", "/v1beta/models/kimi"),
        ("/v1/models/kimi:embedContent", "/v1beta/models/kimi:embedContent"),
        (CHAT, CHAT),
        ("/v1/files", "/v1/files"),
    ],
)
def test_google_s_clients_mean_google_s_models(typed: str, meant: str) -> None:
    """Their SDK for Python asks for `/v1/models`, as OpenAI's does."""
    assert canonical(typed, by_google=True) == meant


@pytest.mark.parametrize(
    "path", ["/", "", "/ping", "/v1", "/v1/", "//", "/v1/nothing", "/v1beta/x", "/token/check", "x"]
)
def test_a_path_that_leads_to_no_door_stays(path: str) -> None:
    """It is not found under its own name."""
    assert canonical(path) == path


@given(st.lists(SEGMENTS).map("/".join))
def test_a_canonical_path_is_its_own(path: str) -> None:
    """Whatever was typed."""
    assert canonical(canonical(path)) == canonical(path)


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        (CHAT, {}, Dialect.OPENAI),
        (CHAT, {"Anthropic-Version": "2023-06-01"}, Dialect.OPENAI),
        ("/v1/responses", {}, Dialect.OPENAI),
        ("/nothing", {}, Dialect.OPENAI),
        ("/nothing", {"anthropic-version": "2023-06-01"}, Dialect.ANTHROPIC),
        ("/nothing", {"x-goog-api-client": "google-genai-sdk/3.6.1"}, Dialect.GEMINI),
        ("/upload/v1beta/files", {}, Dialect.GEMINI),
        ("/v1/messages", {}, Dialect.ANTHROPIC),
        ("/v1/messages/count_tokens", {}, Dialect.ANTHROPIC),
        ("/v1/models", {}, Dialect.OPENAI),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, Dialect.ANTHROPIC),
        ("/v1/models/kimi", {"anthropic-version": "2023-06-01"}, Dialect.ANTHROPIC),
        (GENERATE, {}, Dialect.GEMINI),
        ("/v1beta/models", {"anthropic-version": "2023-06-01"}, Dialect.GEMINI),
        ("/v1beta/nothing", {}, Dialect.GEMINI),
    ],
)
def test_a_path_speaks_a_dialect(path: str, headers: dict[str, str], dialect: Dialect) -> None:
    """The list of models speaks two."""
    assert dialect_of(path, Headers(headers)) is dialect


def test_a_request_finds_its_door() -> None:
    """Before it is routed."""
    app = Flask(__name__)
    install(app)

    @app.post(CHAT)
    def chat() -> str:
        return request.path

    @app.get("/v1beta/models")
    def models() -> str:
        return request.path

    client = app.test_client()
    assert [client.post("/chat/completions").text, client.post("/v1/v1/chat/completions").text] == [CHAT, CHAT]
    assert client.post("/x").status_code == 404
    assert client.get("/v1/models", headers={"x-goog-api-client": "sdk"}).text == "/v1beta/models"
    assert client.get("/v1/models", headers={"authorization": "Bearer k"}).status_code == 404
