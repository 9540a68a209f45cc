"""A whole application over a Kimi that answers from a script: the doors with everything behind them but the network."""

from __future__ import annotations

from flask import Flask

from app.accounts.admission import Admission
from app.accounts.credentials import Credential
from app.accounts.models import OfferedModels
from app.accounts.tokens import AccessTokens
from app.accounts.vault import MemoryVault
from app.dialects import errors, models, token
from app.dialects.doorstep import Doorstep
from app.dialects.openai_chat import routes
from app.dialects.respond import Pace
from app.errors import GatewayError
from app.gateway import Gateway
from app.kimi.refresh import TokenPair
from app.observability import hooks
from config.models import load_models
from tests.fakes import FakeClock, FakeKimi, jwt

CLIENT = jwt(sub="client")
KEY = "gateway-key-000000000000"


def doorstep(kimi: FakeKimi, *, api_keys: tuple[str, ...] = (), refusal: GatewayError | None = None) -> Doorstep:
    """The collaborators of a door; `refusal` is what every refresh raises."""
    clock = FakeClock()

    def refresh(_credential: Credential, _token: str) -> TokenPair:
        if refusal is not None:
            raise refusal
        return TokenPair("access", None)

    gateway = Gateway(
        kimi=kimi,
        tokens=AccessTokens(refresh=refresh, vault=MemoryVault(), secret=b"s", clock=clock),
        offered=OfferedModels(clock=clock),
        models=load_models(),
        protocol="connect",
        keep_conversations=False,
        background=lambda work: work(),
        sleep=lambda _: None,
    )
    admission = Admission(api_keys=api_keys, tokens=(jwt(sub="own"),), allow_client_tokens=False)
    return Doorstep(gateway=gateway, admission=admission, pace=Pace(grace=5.0, keepalive=5.0), max_json_bytes=10_000)


def application(door: Doorstep) -> Flask:
    """All doors in their frame."""
    app = Flask(__name__)
    hooks.install(app)
    errors.install(app)
    for blueprint in (routes.blueprint(door), models.blueprint(door), token.blueprint(door)):
        app.register_blueprint(blueprint)
    return app
