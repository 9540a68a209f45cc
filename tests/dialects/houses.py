"""A whole application over a Kimi that answers from a script: the doors with everything behind them but the network."""

from __future__ import annotations

import time

from flask import Flask
from flask.testing import FlaskClient

from app.accounts.admission import Admission
from app.accounts.credentials import parse_credentials
from app.dialects import errors, files, models, paths, token
from app.dialects.anthropic import routes as anthropic_routes
from app.dialects.doorstep import Doorstep
from app.dialects.gemini import routes as gemini_routes
from app.dialects.openai_chat import routes as openai_chat_routes
from app.dialects.openai_responses import routes as openai_responses_routes
from app.dialects.respond import Pace
from app.errors import GatewayError
from app.gateway.answers import Answers
from app.observability import hooks
from app.offload import Offload
from tests.fakes import FakeDownloads, FakeKimi, FakeStorage, jwt
from tests.gateway.houses import House

CLIENT = jwt(sub="client")
OWN = jwt(sub="own")
KEY = "gateway-key-000000000000"
SOON = 10.0


class Front:
    """The doors of one worker, and the house behind them.

    `refusal` is what every refresh raises; `storage` is Kimi's for files, `downloads` what URLs lead to.
    """

    def __init__(
        self,
        kimi: FakeKimi,
        *,
        api_keys: tuple[str, ...] = (),
        tokens: tuple[str, ...] = (OWN,),
        refusal: GatewayError | None = None,
        ttl: float = 0.0,
        storage: FakeStorage | None = None,
        downloads: FakeDownloads | None = None,
        max_prompt: int = 200_000,
    ) -> None:
        self.kimi = kimi
        self.storage = storage or FakeStorage()
        self.downloads = downloads or FakeDownloads({})
        self.house = House(
            kimi,
            refusal=refusal,
            ttl=ttl,
            storage=self.storage,
            downloads=self.downloads,
            max_prompt=max_prompt,
            pause=SOON,
        )
        self.answers = Answers(self.house.shared, ttl=ttl or SOON)
        self.door = Doorstep(
            gateway=self.house.gateway,
            admission=Admission(api_keys=api_keys, tokens=tokens, allow_client_tokens=False),
            pace=Pace(grace=SOON, keepalive=SOON),
            max_json_bytes=10_000,
            offload=Offload(),
        )

    def client(self) -> FlaskClient:
        """A client of all doors in their frame."""
        app = Flask(__name__)
        hooks.install(app)
        errors.install(app)
        paths.install(app)
        app.register_blueprint(openai_chat_routes.blueprint(self.door))
        app.register_blueprint(openai_responses_routes.blueprint(self.door, self.answers))
        app.register_blueprint(anthropic_routes.blueprint(self.door))
        app.register_blueprint(gemini_routes.blueprint(self.door))
        app.register_blueprint(files.blueprint(self.door, self.house.files))
        app.register_blueprint(models.blueprint(self.door))
        app.register_blueprint(token.blueprint(self.door, self.house.diagnosis))
        return app.test_client()

    def is_idle(self) -> bool:
        """Wait until no answer runs any more: they end in their own time, after their last word."""
        deadline = time.monotonic() + SOON
        while (busy := self.house.streams(parse_credentials(CLIENT)[0])) and time.monotonic() < deadline:
            time.sleep(0.001)
        return not busy

    def tidies_up(self) -> bool:
        """Do what answers leave for the background, until a conversation is deleted."""
        deadline = time.monotonic() + SOON
        while not self.kimi.gone.wait(0.01) and time.monotonic() < deadline:
            self.house.settle()
        return self.kimi.gone.is_set()
