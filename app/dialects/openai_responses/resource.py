"""The Response object: what was asked, repeated, and what has come of it so far.

All its fields are there in every answer, because the types of the vendor and of openresponses want them (conformance,
section 3c); those that mean nothing here have the vendor's defaults.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import orjson

from app.chat.events import Usage

_DEFAULTS: Mapping[str, object] = {
    "instructions": None, "max_output_tokens": None, "max_tool_calls": None, "metadata": {},
    "parallel_tool_calls": True, "previous_response_id": None, "prompt_cache_key": None, "safety_identifier": None,
    "store": True, "temperature": 1.0, "tool_choice": "auto", "top_logprobs": 0, "top_p": 1.0,
    "truncation": "disabled", "user": None, "presence_penalty": 0.0, "frequency_penalty": 0.0,
}  # fmt: skip
"""Fields that are repeated as they were asked, and what they are where nothing was asked."""

_SUMMARIES = ("auto", "concise", "detailed")
_VERBOSITIES = ("low", "medium", "high")
_TEXTS = ("prompt_cache_key", "safety_identifier", "user")
_FUNCTION: Mapping[str, object] = {"description": None, "parameters": None, "strict": False}


class Resource:
    """The Response `response_id`, an answer to what `values` ask for; `created` is the time of day in whole seconds.

    Every form of it has the conversation's id, once that is told.
    """

    def __init__(self, response_id: str, created: int, values: Mapping[str, object]) -> None:
        self.conversation_id: str | None = None
        self._head: dict[str, object] = {"id": response_id, "object": "response", "created_at": created}
        self._asked = {name: _json(value) for name, value in _asked(values).items()}

    def begun(self) -> dict[str, object]:
        """The Response as long as nothing is known of its answer."""
        return self._with(status="in_progress", output=[])

    def done(self, output: list[dict[str, object]], usage: Usage, now: float, *, whole: bool) -> dict[str, object]:
        """The Response at its end: whole, or ended by a limit."""
        if whole:
            return self._with(status="completed", output=output, usage=_usage(usage), completed_at=int(now))
        details = {"reason": "max_output_tokens"}
        return self._with(status="incomplete", output=output, usage=_usage(usage), incomplete_details=details)

    def failed(self, output: list[dict[str, object]], error: dict[str, object]) -> dict[str, object]:
        """The Response that did not come to its end, with what came of it."""
        return self._with(status="failed", output=output, error=error)

    def _with(self, **members: object) -> dict[str, object]:
        blank: dict[str, object] = dict.fromkeys(("completed_at", "error", "incomplete_details", "usage"))
        told = None if self.conversation_id is None else {"id": self.conversation_id}
        return {**self._head, **self._asked, **blank, **members, "conversation": told}


def _asked(values: Mapping[str, object]) -> dict[str, object]:
    """The fields that repeat what was asked."""
    asked = {name: default if values.get(name) is None else values[name] for name, default in _DEFAULTS.items()}
    for name in _TEXTS:
        asked[name] = asked[name] if isinstance(asked[name], str) else None
    tools = values.get("tools")
    return {
        "model": values["model"],
        **asked,
        "background": False,
        "service_tier": "default",
        "reasoning": _reasoning(values.get("reasoning")),
        "text": _text(values.get("text")),
        "tools": [_tool(tool) for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else [],
    }


def _reasoning(asked: object) -> dict[str, object]:
    fields = asked if isinstance(asked, dict) else {}
    summary = fields.get("summary")
    return {"effort": fields.get("effort"), "summary": summary if summary in _SUMMARIES else None}


def _text(asked: object) -> dict[str, object]:
    fields = asked if isinstance(asked, dict) else {}
    form, verbosity = fields.get("format"), fields.get("verbosity")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        form = {"description": None, **form, "strict": form.get("strict") is True}
    verbosity = verbosity if verbosity in _VERBOSITIES else "medium"
    return {"format": form or {"type": "text"}, "verbosity": verbosity}


def _tool(tool: Mapping[str, object]) -> Mapping[str, object]:
    """A tool as the vendor repeats it: flat, and what a function does not tell has its default."""
    kind = tool.get("type")
    inner = tool.get("function") if kind == "function" else None
    flat = {"type": kind, **inner} if isinstance(inner, dict) else tool
    return {**_FUNCTION, **flat} if kind == "function" else flat


def _usage(usage: Usage) -> dict[str, object]:
    """Token counts in the vendor's words, where output tokens include those of the thinking."""
    output = usage.completion + usage.reasoning
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + output,
    }


def _json(value: object) -> orjson.Fragment:
    """A value as it is written, once for all forms; orjson itself refuses large integers, which schemas may hold."""
    return orjson.Fragment(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
