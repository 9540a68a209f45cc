"""The legacy REST protocol of kimi.moonshot.cn: requests to bytes, server-sent events to events (protocol.md A).

Builders and a decoder without sockets. The raw captures of this stream are of 2023 and 2024, before `k1` events: their
shape is known from client code only, so they are read leniently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.chat.events import Event, Failed, Finished, Source, ThinkingDelta
from app.errors import GatewayError, NothingSaid, UpstreamTruncated
from app.kimi import json
from app.kimi.citations import MarkerScanner
from app.kimi.framing import MAX_FRAME, SseReader
from app.kimi.http import HttpAnswer, HttpRequest
from app.kimi.rest_errors import from_answer, from_type
from app.kimi.turn import Turn

STREAM_TYPE = "text/event-stream"
DEFAULT_AGENT = "kimi"


@dataclass(frozen=True, slots=True)
class RestPlan:
    """How one turn is asked (protocol.md A4)."""

    kimiplus_id: str = DEFAULT_AGENT
    model: str = "kimi"
    use_search: bool = False
    use_research: bool = False
    use_math: bool = False


def create_chat(base: str, token: str, plan: RestPlan) -> HttpRequest:
    """Open a conversation; the answer's `id` names it."""
    body = {
        "name": "kimi-gateway",
        "is_example": False,
        "enter_method": "new_chat",
        "kimiplus_id": plan.kimiplus_id,
    }
    return call("POST", base, "/api/chat", token, body)


def completion(base: str, token: str, plan: RestPlan, chat_id: str, turn: Turn) -> HttpRequest:
    """Ask for an answer: the server keeps the history, one user message counts."""
    body: dict[str, object] = {
        "kimiplus_id": plan.kimiplus_id,
        "messages": [{"role": "user", "content": turn.text}],
        "refs": list(turn.files),
        "use_search": plan.use_search,
        "use_research": plan.use_research,
        "use_math": plan.use_math,
        "model": plan.model,
        "extend": {"sidebar": True},
    }
    return _stream_request(base, token, chat_id, body)


def continuation(base: str, token: str, plan: RestPlan, chat_id: str, segment_id: str) -> HttpRequest:
    """Ask for the rest of an answer that reached the output limit."""
    body: dict[str, object] = {
        "segment_id": segment_id,
        "action": "continue",
        "messages": [{"role": "user", "content": " "}],
        "kimiplus_id": plan.kimiplus_id,
        "extend": {"sidebar": True},
    }
    return _stream_request(base, token, chat_id, body)


def delete_chat(base: str, token: str, chat_id: str) -> HttpRequest:
    """Delete a conversation."""
    return call("DELETE", base, f"/api/chat/{chat_id}", token, {})


def research_usage(base: str, token: str) -> HttpRequest:
    """Ask how many research turns are left."""
    return call("GET", base, "/api/chat/research/usage", token, None)


def current_user(base: str, token: str) -> HttpRequest:
    """Ask who the account is: the cheapest check of an access token."""
    return call("GET", base, "/api/user", token, None)


def chat_id_of(answer: HttpAnswer) -> str:
    """The id of a new conversation. Raises what the answer means if it holds none."""
    try:
        chat_id = json.text(json.parse(answer.body), "id")
    except ValueError:
        chat_id = ""
    if not chat_id:
        raise from_answer(answer)
    return chat_id


def research_left(answer: HttpAnswer) -> int | None:
    """How many research turns are left; None if the answer does not tell."""
    try:
        remain = json.member(json.parse(answer.body), "remain")
    except ValueError:
        return None
    return remain if isinstance(remain, int) and not isinstance(remain, bool) else None


def _stream_request(base: str, token: str, chat_id: str, body: dict[str, object]) -> HttpRequest:
    request = call("POST", base, f"/api/chat/{chat_id}/completion/stream", token, body)
    headers = {**request.headers, "Accept": STREAM_TYPE, "Referer": f"{base}/chat/{chat_id}"}
    return HttpRequest(request.method, request.url, headers, request.body)


def call(method: str, base: str, path: str, token: str, body: dict[str, object] | None) -> HttpRequest:
    """A call of the site as its own page makes it (protocol.md A1)."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Origin": base,
        "Referer": f"{base}/",
        "X-Msh-Platform": "web",
    }
    return HttpRequest(method, base + path, headers, None if body is None else json.dump(body))


_BOOKKEEPING = frozenset({"done", "debug", "ping", "zone_set", "chat_prompt", "rename", "concat"})
"""Events that say nothing to a client; `done` ends a segment, not the answer."""


class RestDecoder:
    """The body of a completion stream to events.

    `continuation` is the segment to continue when the body ended at the output limit (protocol.md A4): then `resume`
    makes the decoder ready for the next body, and the two are one answer.
    """

    def __init__(self, *, ceiling: int = MAX_FRAME) -> None:
        self.settled = False
        self.concluded = False
        self.ended = False
        self.continuation: str | None = None
        self.unknown = 0
        self._ceiling = ceiling
        self._reader = SseReader(ceiling=ceiling)
        self._markers = MarkerScanner()
        self._known: dict[str, Source] = {}
        self._segment = ""
        self._at_limit = False
        self._spoken = False
        self._readers: dict[str, Callable[[object, list[Event]], None]] = {
            "req": self._request,
            "resp": self._response,
            "cmpl": self._text,
            "k1": self._think,
            "think": self._think,
            "search_plus": self._search,
            "ref_docs": self._cards,
            "length": self._limit,
            "error": self._error,
            "all_done": self._all_done,
        }

    def resume(self) -> None:
        """Go on with the body of a continuation."""
        self._reader = SseReader(ceiling=self._ceiling)
        self.continuation, self._at_limit, self.concluded, self.ended = None, False, False, False

    def stop_at_limit(self) -> list[Event]:
        """End the answer where the output limit ended it, instead of continuing."""
        out: list[Event] = []
        self._flush(out)
        self.ended = True
        out.append(Finished("length"))
        return out

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completed; an error is a Failed, the last event of all."""
        out: list[Event] = []
        if self.ended:
            return out
        try:
            for event in self._reader.feed(data):
                if self._ends(event.data, out):
                    break
        except GatewayError as error:
            self._fail(error, out)
        return out

    def finish(self) -> list[Event]:
        """Judge the end of the body: only `all_done` makes it whole."""
        out: list[Event] = []
        if not self.ended:
            self._fail(UpstreamTruncated("Kimi's answer broke off before its end."), out)
        return out

    def _ends(self, data: str, out: list[Event]) -> bool:
        """Take in one event; True if it is the last."""
        try:
            event = json.parse(data)
        except ValueError:
            event = None
        name = json.text(event, "event")
        if read := self._readers.get(name):
            read(event, out)
        elif name not in _BOOKKEEPING:
            self.unknown += 1
        return self.ended

    def _request(self, event: object, _out: list[Event]) -> None:
        self._segment = json.text(event, "id")  # the site continues by this one (protocol.md A4)

    def _response(self, event: object, _out: list[Event]) -> None:
        self._segment = self._segment or json.text(event, "id")

    def _text(self, event: object, out: list[Event]) -> None:
        if text := json.text(event, "text"):
            self._spoken = True
            out.extend(self._markers.feed(text))

    def _think(self, event: object, out: list[Event]) -> None:
        for result in json.items(event, "search_results"):
            self._found(result, out)
        if text := json.text(event, "text"):
            out.append(ThinkingDelta(text))

    def _search(self, event: object, out: list[Event]) -> None:
        self._found(json.member(event, "msg"), out)

    def _cards(self, event: object, out: list[Event]) -> None:
        for card in json.items(event, "ref_cards"):
            self._found(card, out)

    def _limit(self, _event: object, _out: list[Event]) -> None:
        self._at_limit = True

    def _error(self, event: object, _out: list[Event]) -> None:
        raise from_type(json.text(event, "error", "error_type"))

    def _all_done(self, _event: object, out: list[Event]) -> None:
        self.concluded = True
        if self._at_limit and self._segment:
            self.ended, self.continuation = True, self._segment
            return
        self._flush(out)
        if not self._spoken:
            self._fail(NothingSaid("Kimi answered nothing at all; it is likely overloaded."), out)
            return
        self.ended = True
        out.append(Finished("length" if self._at_limit else "stop"))

    def _found(self, result: object, out: list[Event]) -> None:
        url = json.text(result, "url")
        if url in self._known or not url.startswith(("https://", "http://")):
            return
        source = self._known[url] = Source(url=url, title=json.text(result, "title"))
        self._markers.add(source)
        out.append(source)

    def _flush(self, out: list[Event]) -> None:
        out.extend(self._markers.finish())

    def _fail(self, error: GatewayError, out: list[Event]) -> None:
        self.ended = True
        out.append(Failed(error))
