"""POST /token/check tells whether Kimi takes a token, and what is wrong if not."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from app.dialects.doorstep import Doorstep
from app.errors import InvalidApiKey, InvalidRequest
from app.gateway.diagnosis import Diagnosis, Finding, Reason, as_json


def blueprint(door: Doorstep, diagnosis: Diagnosis) -> Blueprint:
    """The check."""
    routes = Blueprint("token", __name__)

    @routes.post("/token/check")
    def check() -> Response:
        """Examine a token, or all of a list; the first one that is live speaks for the list."""
        token = door.json_object(request).get("token")
        if not isinstance(token, str):
            raise InvalidRequest("token must be a string.", param="token")
        try:
            tokens = door.admission.tokens(token)
        except InvalidApiKey as error:
            reason = Reason.KEY_REFUSED if token.strip(" ,") else Reason.MALFORMED
            return jsonify(as_json(Finding(reason, error.message)))
        findings = [diagnosis.examine(one) for one in tokens]
        best = next((finding for finding in findings if finding.live), findings[0])
        answer = as_json(best)
        if len(findings) > 1:
            answer["accounts"] = [as_json(finding) for finding in findings]
        return jsonify(answer)

    return routes
