"""Paths as people type them, made the one path of each door, and which dialect a path speaks.

People give base URLs with a version, without one, or with one that their client adds once more: the Anthropic SDK of
Python adds `/v1`, that of Vercel does not, Google's adds `/v1beta`, since 3.x `/v1`, litellm does not (conformance.md,
section 3). What stands behind all versions tells the door; whose list of models is meant, the header with Google's key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from flask import Flask
from werkzeug.datastructures import Headers

_VERSIONS = {"v1", "v1beta", "v1alpha"}
_TUNED = "tunedModels"
"""Where Google has models of one's own; nobody else has that path."""

_DOORS = {"chat", "files", "messages", "models", "responses", _TUNED}
_GEMINI_VERBS = (":generateContent", ":streamGenerateContent", ":countTokens")
_GOOGLE_CLIENT = "HTTP_X_GOOG_API_CLIENT"
"""Google's SDKs name themselves in this header; their key may come from anybody."""

_OPENAI = ("/v1/chat/", "/v1/responses", "/v1/files")

_Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Dialect(Enum):
    """Whose words a client speaks, and is answered in."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"


def canonical(path: str, *, by_google: bool = False) -> str:
    """The path of the door that is meant; one that leads to no door stays as it is.

    `by_google` says that the client is one of Google's: its paths of models are those of Gemini under any version.
    """
    segments = path.split("/")
    start, versions = 0, set()
    while start < len(segments) and segments[start] in {"", *_VERSIONS}:
        versions.add(segments[start])
        start += 1
    rest = segments[start:]
    if not rest or rest[0] not in _DOORS:
        return path
    is_gemini = by_google or rest[-1].endswith(_GEMINI_VERBS) or not versions.isdisjoint({"v1beta", "v1alpha"})
    version = "v1beta" if rest[0] == _TUNED or (rest[0] == "models" and is_gemini) else "v1"
    return "/".join(["", version, *rest])


def dialect_of(path: str, headers: Headers) -> Dialect:
    """The dialect of a canonical path. Headers tell it where a path is of several, or of none."""
    if path.startswith(("/v1beta/", "/upload/v1beta/")):
        return Dialect.GEMINI
    if path.startswith("/v1/messages"):
        return Dialect.ANTHROPIC
    if path.startswith(_OPENAI):
        return Dialect.OPENAI
    if "anthropic-version" in headers:
        return Dialect.ANTHROPIC
    return Dialect.GEMINI if "x-goog-api-client" in headers else Dialect.OPENAI


def install(app: Flask) -> None:
    """Have every request find its door."""
    inner: _Wsgi = app.wsgi_app

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 # as WSGI has it
        environ["PATH_INFO"] = canonical(environ.get("PATH_INFO", ""), by_google=_GOOGLE_CLIENT in environ)
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign] # as flask's documentation has it
