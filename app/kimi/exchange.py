"""One answer of Kimi's from opening to clean-up, over either protocol.

An exchange is opened for one turn; its events are read to their end or not; then what still runs on Kimi's side can be
stopped. What a protocol needs of calls, and in which order, is written here; what the bytes mean is in connect,
connect_decoder and rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Opened
from app.chat.request import Continuation
from app.errors import GatewayError, RateLimitExceeded, UpstreamProtocolError
from app.kimi import connect, connect_errors, rest, rest_errors
from app.kimi.connect import ConnectPlan
from app.kimi.connect_decoder import ConnectDecoder
from app.kimi.http import HttpAnswer, HttpRequest
from app.kimi.rest import RestDecoder, RestPlan
from app.kimi.transport import UNARY_TIMEOUT, HttpStream, Transport
from app.kimi.turn import Turn

LINGER = 3.0
"""Seconds to wait for the trailer of an answer that is complete without it."""

MAX_CONTINUATIONS = 16
"""How often one answer is continued after the legacy site's output limit."""

_OK = 200
_RESEARCH_PAUSE = 3600.0
"""Seconds; the site tells how many research turns are left, not when there are more."""

_SECONDS = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Ask:
    """One turn: what is sent, the base URL of its site, and the access token of the account."""

    turn: Turn
    site: str
    token: str = field(repr=False)
    continues: Continuation | None = None


class Exchange(Protocol):
    """One answer."""

    @property
    def conversation_id(self) -> str | None:
        """The conversation on Kimi's side, None as long as it is not known."""

    @property
    def tip(self) -> Continuation | None:
        """Where the next turn goes after a whole answer; None where that cannot be told."""

    @property
    def running(self) -> bool:
        """Whether Kimi may still be generating something that `stop` can stop."""

    def events(self, cancellation: Cancellation) -> Iterator[list[Event]]:
        """Send the turn and give the answer's events, the last of them Finished or Failed; once only.

        An empty list tells that `conversation_id` has become known.
        """

    def stop(self, token: str) -> None:
        """Have Kimi stop generating, if it may still be. Raises GatewayError.

        `token` is a fresh access token: the one that opened the answer may have expired by its end.
        """


class _Decoder(Protocol):
    settled: bool
    concluded: bool
    ended: bool

    def feed(self, data: bytes) -> list[Event]: ...
    def finish(self) -> list[Event]: ...


class ConnectExchange:
    """An answer over the Connect protocol: one call opens the conversation and streams the answer."""

    def __init__(self, transport: Transport, ask: Ask, plan: ConnectPlan) -> None:
        self._transport = transport
        self._ask = ask
        self._plan = plan
        self._decoder: ConnectDecoder | None = None

    @property
    def conversation_id(self) -> str | None:
        """The chat's id, from the first frames."""
        told = self._decoder.conversation_id if self._decoder else None
        return told or (self._ask.continues.conversation_id if self._ask.continues else None)

    @property
    def tip(self) -> Continuation | None:
        """The message that was just written (protocol.md B10: the last assistant message)."""
        chat_id, decoder = self.conversation_id, self._decoder
        if chat_id is None or decoder is None or decoder.message_id is None:
            return None
        return Continuation(chat_id, decoder.message_id)

    @property
    def running(self) -> bool:
        """Until the answer has come to its end; only a message that is known can be stopped."""
        decoder = self._decoder
        return not (decoder is None or decoder.concluded or decoder.message_id is None or self.conversation_id is None)

    def events(self, cancellation: Cancellation) -> Iterator[list[Event]]:
        """Send the turn and give the answer's events."""
        ask = self._ask
        continues = ask.continues
        if continues is not None and continues.parent_id is None:
            continues = replace(continues, parent_id=self._tip_of(continues.conversation_id))
        request = connect.chat_request(ask.site, ask.token, self._plan, ask.turn, continues)
        with self._transport.stream(request, cancellation) as stream:
            if stream.status != _OK or stream.media_type != connect.STREAM_TYPE:
                yield [Failed(_with_pause(stream, connect_errors.from_answer(stream.answer())))]
                return
            encoding = stream.headers.get("connect-content-encoding", "")
            self._decoder = ConnectDecoder(encoding=encoding)
            yield from _decoded(stream, self._decoder)

    def stop(self, token: str) -> None:
        """Cancel the message that is being written: closing the connection may not stop it (protocol.md B11)."""
        if self.running and self._decoder is not None:
            self._call(token, "CancelChat", {"chat_id": self.conversation_id, "message_id": self._decoder.message_id})

    def _tip_of(self, chat_id: str) -> str | None:
        """The message to answer to. A site without the call continues by the chat's id alone (protocol.md B10)."""
        body = {"chat_id": chat_id, "page_size": 20}
        try:
            return connect.last_assistant_message(self._call(self._ask.token, "ListMessages", body))
        except UpstreamProtocolError:
            return None

    def _call(self, token: str, method: str, body: object) -> HttpAnswer:
        return send(self._transport, connect.rpc(self._ask.site, token, f"{connect.CHAT}/{method}", body))


class RestExchange:
    """An answer over the legacy protocol: open a chat, stream, continue at the output limit."""

    def __init__(self, transport: Transport, ask: Ask, plan: RestPlan) -> None:
        self._transport = transport
        self._ask = ask
        self._plan = plan
        self._chat_id = ask.continues.conversation_id if ask.continues else None

    @property
    def conversation_id(self) -> str | None:
        """The chat's id, once it is opened."""
        return self._chat_id

    @property
    def tip(self) -> Continuation | None:
        """The conversation; the legacy site knows by itself where it ends."""
        return None if self._chat_id is None else Continuation(self._chat_id)

    @property
    def running(self) -> bool:
        """Never: the legacy site ends with its connection."""
        return False

    def events(self, cancellation: Cancellation) -> Iterator[list[Event]]:
        """Send the turn and give the answer's events."""
        ask = self._ask
        cancellation.check()  # before a conversation is opened for nobody
        if self._plan.use_research:
            self._check_research()
        told = False
        if self._chat_id is None:
            self._chat_id = rest.chat_id_of(
                check_legacy(self._transport.fetch(rest.create_chat(ask.site, ask.token, self._plan)))
            )
            yield []  # it has an id: that can be written down before anything else happens
        decoder = RestDecoder()
        request = rest.completion(ask.site, ask.token, self._plan, self._chat_id, ask.turn)
        for _ in range(MAX_CONTINUATIONS):
            with self._transport.stream(request, cancellation) as stream:
                if stream.status != _OK or stream.media_type != rest.STREAM_TYPE:
                    yield [Failed(_with_pause(stream, rest_errors.from_answer(stream.answer())))]
                    return
                if not told:
                    told = True
                    yield [Opened(self._chat_id)]
                yield from _decoded(stream, decoder)
            if decoder.continuation is None:
                return
            request = rest.continuation(ask.site, ask.token, self._plan, self._chat_id, decoder.continuation)
            decoder.resume()
        yield decoder.stop_at_limit()

    def stop(self, token: str) -> None:
        """Nothing: the legacy site ends with its connection."""

    def _check_research(self) -> None:
        """Research is metered: a turn that would be refused is not begun (protocol.md A3)."""
        answer = check_legacy(self._transport.fetch(rest.research_usage(self._ask.site, self._ask.token)))
        left = rest.research_left(answer)
        if left is not None and left <= 0:
            raise RateLimitExceeded("The account's research turns are used up.", retry_after=_RESEARCH_PAUSE)


def _decoded(stream: HttpStream, decoder: _Decoder) -> Iterator[list[Event]]:
    """One list of events for each network read that completed any."""
    data = b""
    while not decoder.ended:
        try:
            data = stream.read(within=LINGER if decoder.settled else None)
        except GatewayError:
            if not decoder.settled:
                raise
            data = b""  # the answer is complete; only its trailer is late
        events = decoder.feed(data) if data else decoder.finish()
        if events:
            yield events
    if decoder.concluded and data:
        stream.drain()


def _with_pause(stream: HttpStream, error: GatewayError) -> GatewayError:
    """Pass on for how long Kimi asks to be left alone."""
    after = stream.headers.get("retry-after", "")
    if _SECONDS.fullmatch(after):
        error.retry_after = float(after)
    return error


def send(
    transport: Transport,
    request: HttpRequest,
    *,
    timeout: float = UNARY_TIMEOUT,
    cancellation: Cancellation | None = None,
) -> HttpAnswer:
    """A unary Connect call; raises what a refusal means."""
    answer = transport.fetch(request, timeout=timeout, cancellation=cancellation)
    if _is_success(answer):
        return answer
    raise connect_errors.from_answer(answer)


def check_legacy(answer: HttpAnswer) -> HttpAnswer:
    """The answer of a unary legacy call, if it is a success; raises what a refusal means."""
    if _is_success(answer):
        return answer
    raise rest_errors.from_answer(answer)


def _is_success(answer: HttpAnswer) -> bool:
    """A web page is no word of Kimi's, whatever its status: something stands in between."""
    return answer.status == _OK and "html" not in answer.media_type
