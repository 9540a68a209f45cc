"""kimi-gateway: a person's own Kimi account for the clients of other vendors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Flask

from app import doctor, operations, services
from app.dialects import cors, files, models, paths, token
from app.dialects import errors as error_answers
from app.dialects.anthropic import routes as anthropic_routes
from app.dialects.gemini import routes as gemini_routes
from app.dialects.openai_chat import routes as openai_chat_routes
from app.dialects.openai_responses import routes as openai_responses_routes
from app.observability import hooks, log
from config.settings import Settings, load


def create_app(settings: Settings | None = None, **overrides: Any) -> Flask:  # noqa: ANN401 # fields of Settings
    """Build the application, by default from the environment; `overrides` replace single settings.

    Raises config.settings.SettingsError for settings that cannot be used.
    """
    settings = replace(settings or load(), **overrides)
    log.configure(settings.log_level, settings.log_format)
    built = services.build(settings)
    door = built.door
    app = Flask(__name__, static_folder=None)
    # For gunicorn.conf.py, which knows when a worker is to end.
    app.extensions["is_draining"] = lambda: False
    app.extensions["finish_background"] = built.finish
    hooks.install(app)
    error_answers.install(app)
    cors.install(app, settings.cors_origins)
    paths.install(app)
    app.register_blueprint(openai_chat_routes.blueprint(door))
    app.register_blueprint(openai_responses_routes.blueprint(door, built.answers))
    app.register_blueprint(anthropic_routes.blueprint(door))
    app.register_blueprint(gemini_routes.blueprint(door))
    app.register_blueprint(files.blueprint(door, built.files))
    app.register_blueprint(models.blueprint(door))
    app.register_blueprint(token.blueprint(door, built.diagnosis))
    app.register_blueprint(operations.blueprint(app, built.state))
    app.cli.add_command(doctor.command(built.diagnosis, settings.kimi_tokens, lasting=built.state.lasting))
    return app
