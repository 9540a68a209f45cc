"""POST /v1/responses, and what there is about an answer afterwards."""

from __future__ import annotations

import time
import uuid

from flask import Blueprint, Request, Response, jsonify, request

from app.accounts.credentials import Credential
from app.chat.prompt import prompt_tokens
from app.dialects.doorstep import Doorstep
from app.dialects.openai_responses.encoder import ResponsesEncoder
from app.dialects.openai_responses.output import ANSWER, Output
from app.dialects.openai_responses.resource import Resource
from app.dialects.openai_responses.schemas import COUNTED, ResponsesCall, reference, responses_call
from app.dialects.openai_responses.stored import page, to_keep
from app.errors import InvalidRequest
from app.gateway.answers import Answers, Kept

_UNKNOWN_SIZE = 1024 * 1024  # bytes that a body is taken for which does not say how many it has


def blueprint(door: Doorstep, answers: Answers) -> Blueprint:
    """The door of this dialect."""
    routes = Blueprint("openai_responses", __name__)

    @routes.post("/v1/responses")
    def create() -> Response:
        """Answer a request."""
        credentials = door.credentials(request)
        call, chain = _understood(request, door, answers, credentials)
        response_id, size = ANSWER + uuid.uuid4().hex, _size(request)

        def keep(response: bytes) -> None:
            """Keep the answer, where the client did not forbid it."""
            if call.store:
                kept = door.offload.run(lambda: to_keep(response_id, chain, call.items, response), size=size)
                answers.keep(credentials, kept, door.offload)

        encoder = ResponsesEncoder(
            resource=Resource(response_id, int(time.time()), call.values),
            output=Output(response_id, call.names),
            tells_conversation=door.gateway.keeps(call.request),
            keep=keep,
        )
        return door.answer(request, call.request, credentials, encoder, dialect="openai_responses", stream=call.stream)

    @routes.post("/v1/responses/input_tokens")
    def count() -> Response:
        """Tell how large a request is."""
        call, _ = _understood(request, door, answers, door.credentials(request), model=COUNTED)
        return jsonify({"object": "response.input_tokens", "input_tokens": prompt_tokens(call.request)})

    _add_kept(routes, door, answers)
    return routes


def _add_kept(routes: Blueprint, door: Doorstep, answers: Answers) -> None:
    """What there is about an answer that is kept."""

    def found(response_id: str) -> Kept:
        return answers.find(door.credentials(request), response_id, door.offload)

    @routes.get("/v1/responses/<response_id>")
    def get_response(response_id: str) -> Response:
        """Tell an answer again."""
        kept = found(response_id)
        if request.args.get("stream", "").lower() == "true":
            raise InvalidRequest("stream cannot be true: an answer that is over is told as a whole.", param="stream")
        return Response(kept.response, content_type="application/json")

    @routes.delete("/v1/responses/<response_id>")
    def delete_response(response_id: str) -> Response:
        """Forget an answer."""
        answers.remove(door.credentials(request), response_id)
        return jsonify({"id": response_id, "object": "response", "type": "response.deleted", "deleted": True})

    @routes.get("/v1/responses/<response_id>/input_items")
    def list_input_items(response_id: str) -> Response:
        """List what was new with an answer."""
        return jsonify(page(found(response_id), request.args))

    @routes.post("/v1/responses/<response_id>/cancel")
    def cancel(response_id: str) -> Response:
        """Refuse: only answers in the background are cancelled so."""
        found(response_id)
        raise InvalidRequest("Cannot cancel a synchronous response: close its connection instead.")


def _understood(
    request: Request, door: Doorstep, answers: Answers, credentials: tuple[Credential, ...], model: str | None = None
) -> tuple[ResponsesCall, tuple[Kept, ...]]:
    """What a request asks for, and the answers that it goes on from; `model` is that of a request without one.

    The store is asked in between, because whoever works on a large body must not wait.
    """
    session = door.session(request)
    body = door.json_object(request)
    if model is not None:
        body = {"model": model, **body}
    refers = reference(body)
    chain = () if refers.previous is None else answers.chain(credentials, refers.previous, door.offload)
    known = tuple(answers.known(credentials, refers.answers, door.offload).values())
    size = _size(request) + sum(kept.size for kept in (*chain, *known))
    return door.offload.run(lambda: responses_call(body, session, chain, known), size=size), chain


def _size(request: Request) -> int:
    """About how many bytes a request has."""
    return request.content_length or _UNKNOWN_SIZE
