"""For those who run the service: is it alive, is it ready. None of these calls Kimi."""

from __future__ import annotations

from flask import Blueprint, Flask, Response, jsonify

from app.state.state import State


def blueprint(app: Flask, state: State) -> Blueprint:
    """The probes.

    `app.extensions["is_draining"]` tells whether the worker has been told to stop; of `state` it is told where it is
    kept, and what an operator should know.
    """
    routes = Blueprint("operations", __name__)

    @routes.get("/")
    def root() -> Response:
        """Tell what this is. Claude Code asks with HEAD, and without credentials, whether anybody is there."""
        return Response("kimi-gateway is running.\n", content_type="text/plain; charset=utf-8")

    @routes.get("/ping")
    def ping() -> Response:
        """Answer as the seed does."""
        return Response("pong", content_type="text/plain; charset=utf-8")

    @routes.get("/healthz")
    def healthz() -> Response:
        """The process answers."""
        return jsonify({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> Response:
        """New requests are welcome; 503 once the worker drains."""
        draining = app.extensions["is_draining"]()
        status = "draining" if draining else "ready"
        response = jsonify({"status": status, "state": state.engine, "warnings": state.warnings()})
        response.status_code = 503 if draining else 200
        return response

    return routes
