"""What the calls of Gemini's models take, and the ChatRequest it becomes.

The model stands in the path. Unknown fields are ignored, as clients send those of other versions; a field that would
change the answer and cannot be understood is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from app.chat.prompt import prompt_tokens
from app.chat.request import ChatRequest
from app.chat.tokens import estimate
from app.dialects.fields import ModelName, loaded
from app.dialects.gemini.generation import generation
from app.dialects.gemini.messages import Told, told
from app.dialects.gemini.spelling import Members
from app.dialects.gemini.tools import offered
from app.dialects.wishes import Wishing, check_said, wishes
from app.errors import InvalidRequest

_PREFIXES = ("models/", "tunedModels/")


class _ModelSchema(Wishing):
    model = ModelName()


_MODEL = _ModelSchema()


@dataclass(frozen=True, slots=True)
class GenerateCall:
    """A request with what concerns its answer's form only; `bare` and `shows_thoughts` are as in Generation."""

    request: ChatRequest
    bare: bool = False
    shows_thoughts: bool = False


def model_name(written: str) -> str:
    """The name in a path, without the collection that it stands in. Raises InvalidRequest for what is no name."""
    for prefix in _PREFIXES:
        written = written.removeprefix(prefix)
    return str(loaded(_MODEL, {"model": written})["model"])


def generate_call(model: str, body: Mapping[str, object], session: str | None = None) -> GenerateCall:
    """What is asked of a model; `session` is the client's name for the conversation from its headers.

    Raises InvalidRequest or AttachmentRefused.
    """
    members = Members(body)
    _check_cache(members)
    asked = generation(members.object("generationConfig"))
    offer = offered(members)
    wished = wishes(loaded(_MODEL, {**body, "model": model}), searches=offer.searches, effort=asked.effort)
    history = _history(members)
    request = ChatRequest(
        model=model,
        messages=history.messages,
        use_search=wished.use_search,
        effort=wished.effort,
        conversation_id=wished.conversation_id,
        keep=wished.keep,
        session=session,
        tools=offer.use,
        form=asked.form,
        stop=asked.stop,
        max_tokens=asked.max_tokens,
    )
    check_said(request.messages, members.at("contents"))
    counted = replace(request, prompt_tokens=_tokens(request, history))
    return GenerateCall(counted, bare=asked.bare, shows_thoughts=asked.shows_thoughts)


def token_count(model: str, body: Mapping[str, object]) -> int:
    """About how many tokens a request has, which stands in `generateContentRequest` or in the body itself.

    Raises InvalidRequest or AttachmentRefused.
    """
    members = Members(body)
    members = members.object("generateContentRequest") or members
    _check_cache(members)
    history = _history(members)
    return _tokens(ChatRequest(model, history.messages, tools=offered(members).use), history)


def _tokens(request: ChatRequest, history: Told) -> int:
    """All that was sent, also thoughts, which go no further: one body has one count, whoever is asked for it."""
    return prompt_tokens(request) + sum(map(estimate, history.thoughts))


def _history(members: Members) -> Told:
    system = members.get("systemInstruction")
    return told(members.get("contents"), members.at("contents"), system, members.at("systemInstruction"))


def _check_cache(members: Members) -> None:
    """Refuse what stands in a cache of Google's: it cannot be known here."""
    if members.get("cachedContent"):
        at = members.at("cachedContent")
        raise InvalidRequest(f"{at} cannot be read: this gateway has no caches.", param=at)
