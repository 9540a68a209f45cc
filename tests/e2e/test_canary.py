"""Nothing secret is left anywhere: not in the log, in answers, in the files of the state, or in Redis.

Tokens and texts that stand nowhere else go through good and bad requests of all kinds. Then every place that the
service writes to is searched for them: whole and in part, in other encodings, and for what Kimi gave in exchange.
"""

import base64
import json
import secrets
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from emulator.client import EmulatorControl
from tests.e2e.conftest import running
from tests.e2e.redis_server import redis_server
from tests.e2e.support import Gateway, Guest, Talk, asking, until

pytestmark = pytest.mark.e2e

CHAT = "/v1/chat/completions"
PIECE = 20
"""Characters of a secret that are too many to stand somewhere by chance."""

STATES: tuple[dict[str, object], ...] = ({}, {"state": "spent"}, {"state": "restricted"}, {})


def word(kind: str) -> str:
    """Say something that stands nowhere else."""
    return f"{kind}-{secrets.token_hex(12)}"


def forged(kind: str) -> str:
    """Make a token that looks like one of Kimi's and was never issued."""
    claims = {"app_id": "kimi", "typ": kind, "exp": 4_000_000_000, "sub": word("subject")}
    parts = ({"alg": "HS256", "typ": "JWT", "kid": word("kid")}, claims)
    head = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{word('signature')}"


def claims_of(token: str) -> Iterable[str]:
    """Give what a token says of its owner, in words that no other token says."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)) or b"{}")
    return [value for value in claims.values() if isinstance(value, str) and len(value) > 15]


def traces(secret: str) -> set[bytes]:
    """Give all by which a secret would be known: pieces of its parts, in hex and in base64 as well."""
    found: set[bytes] = set()
    for part in secret.split("."):
        pieces = {part[:PIECE], part[-PIECE:], part[len(part) // 2 :][:PIECE]}
        for piece in (piece.encode() for piece in pieces):
            found |= {piece, piece.hex().encode()}
            found |= {base64.b64encode(piece[start:])[: PIECE - 4] for start in range(3)}
    return found


@dataclass
class Flock:
    """All canaries that were sent to one gateway, and its answers.

    `asked` is what clients said, `told` what Kimi said: that stands in good answers, and nowhere else.
    """

    gateway: Gateway
    kimi: EmulatorControl
    guests: list[Guest]
    tokens: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    good: list[bytes] = field(default_factory=list)
    bad: list[bytes] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def send(self, method: str, path: str, **more: Any) -> None:  # noqa: ANN401 # passed on
        """Send a request and keep its answer, headers and all."""
        reply = self.gateway.request(method, path, **more)
        (self.good if reply.status == 200 else self.bad).append(reply.body)
        self.bad.append(repr(reply.headers).encode())
        self.ids.add(reply.headers["x-request-id"])

    def chat(self, token: str, **fields: object) -> None:
        """Ask for an answer, streamed and whole."""
        for stream in (False, True):
            self.send("POST", CHAT, token=token, body=asking(stream=stream, **fields))

    def ask(self, kind: str) -> str:
        """Make up something that a client says."""
        self.asked.add(said := word(kind))
        return said

    def tell(self, kind: str) -> str:
        """Make up something that Kimi says."""
        self.told.add(said := word(kind))
        return said

    def note(self) -> None:
        """Take note of the tokens that Kimi has issued since."""
        names = {guest.name for guest in self.guests}
        for account in self.kimi.accounts():
            if account.name in names:
                self.tokens |= {account.access_token, account.refresh_token, account.legacy_token}

    @property
    def secrets(self) -> set[str]:
        """All tokens, and what they say of their owners."""
        return self.tokens | {claim for token in self.tokens for claim in claims_of(token)}


def good_requests(flock: Flock, key: str) -> None:
    """Send what is answered, by every kind of credential."""
    good = flock.guests[0]
    for token in (good.access_token, good.refresh_token, good.legacy_token, key):
        answer = flock.tell("answer")
        good.plan({"text": answer, "thinking": flock.tell("thought")}, repeat=True)
        session = {"X-Conversation-Id": flock.ask("session")}
        cache = flock.ask("cache")
        history: list[dict[str, str]] = [{"role": "system", "content": flock.ask("system")}]
        for stream in (False, True):
            history.append({"role": "user", "content": flock.ask("question")})
            body = asking(messages=history, stream=stream, prompt_cache_key=cache)
            flock.send("POST", CHAT, token=token, body=body, headers=session)
            history.append({"role": "assistant", "content": answer})
        flock.chat(token, conversation_id="none")
        for header in ("x-api-key", "x-goog-api-key"):
            flock.send("GET", "/v1/models", headers={header: token})
        flock.send("POST", "/token/check", body={"token": token})
        flock.note()


def refused_requests(flock: Flock) -> None:
    """Send what is refused, by accounts that are ill, tokens that are none, and a Kimi that fails."""
    good, spent, shut, dying = flock.guests
    strays = [word("opaque"), f"sk-{word('official')}", forged("access"), forged("refresh")]
    flock.tokens |= set(strays)
    dying.plan({"text": flock.tell("answer")}, repeat=True)
    flock.chat(dying.refresh_token)
    dying.change(expire_access=True)
    lists = [f"{spent.access_token},{shut.access_token},{good.refresh_token}", ",".join(strays)]
    for token in (dying.refresh_token, spent.refresh_token, shut.refresh_token, *strays, *lists):
        flock.chat(token, messages=[{"role": "user", "content": flock.ask("question")}])
        flock.send("GET", "/v1/models", token=token)
        flock.send("POST", "/token/check", body={"token": token})
    flock.note()
    for fault in ("error_after_done", "html", "compressed_bit", "no_trailer", "overload_trailer"):
        dying.plan({"text": flock.tell("answer"), "faults": {fault: True}}, repeat=True)
        flock.chat(dying.refresh_token, messages=[{"role": "user", "content": flock.ask("question")}])


def strange_requests(flock: Flock) -> None:
    """Put canaries where they do not belong."""
    token = flock.guests[0].refresh_token
    stray, text = word("stray"), flock.ask("text")
    flock.tokens.add(stray)
    flock.send("POST", f"{CHAT}?key={stray}", token=token, body=asking())
    flock.send("GET", f"/{text}?token={stray}&access_token={token}")
    flock.send("DELETE", f"/v1/models/{text}", token=token)
    flock.send("POST", CHAT, headers={"Authorization": f"Basic {stray}"}, body=asking())
    flock.send("POST", CHAT, headers={"Cookie": f"kimi-auth={stray}"}, body=asking())
    flock.send("POST", CHAT, token=f"{token} {stray}", body=asking())
    for body in (
        {text: text, "messages": [text]},
        asking(messages=[{"role": text, "content": stray}]),
        asking(messages=[{"role": "user", "content": [{"type": text, text: stray}]}]),
        asking(conversation_id=text),
        asking(temperature=text, reasoning_effort=text, stream_options=text),
        asking(model=[stray]),
    ):
        flock.send("POST", CHAT, token=token, body=body)
    flock.send("POST", "/token/check", body={"token": f"{token}\x00{stray}"})
    flock.send("POST", "/token/check", body={"token": [token, stray]})
    with flock.gateway.openai(token) as client:
        flock.guests[0].plan({"text": flock.tell("answer")}, repeat=True)
        Talk(client, stream=True).say(flock.ask("question"))


def found(words: Iterable[str], held: bytes) -> list[str]:
    """Which of these words left a trace; told by their kinds, for the words themselves are secret."""
    return sorted({one.partition("-")[0][:12] for one in words for trace in traces(one) if trace in held})


@pytest.mark.parametrize("protocol", ["connect", "rest"])
@pytest.mark.parametrize("store", ["file", "redis"])
def test_no_canary_is_found(kimi: EmulatorControl, tmp_path: Path, store: str, protocol: str) -> None:
    """Tokens, what is in them, what they were exchanged for, and all that was said are in none of these places."""
    key = word("key")
    names = [f"canary-{store}-{protocol}-{number}" for number in range(len(STATES))]
    guests = [Guest(kimi, kimi.account(name, **state)) for name, state in zip(names, STATES, strict=True)]
    state, other = tmp_path / "state", tmp_path / "other"
    for folder in (state, other):
        folder.mkdir()
    settings = {
        "KIMI_PROTOCOL": protocol,
        "DATABASE_PATH": str(state / "state.sqlite3"),
        "API_KEYS": key,
        "KIMI_TOKENS": guests[0].refresh_token,
        "ALLOW_CLIENT_TOKENS": "true",
        "QUEUE_SECONDS": "1",
        "LOG_LEVEL": "debug",
    }
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(other)) if store == "redis" else None
        if redis is not None:
            settings["REDIS_URL"] = redis.url
        gateway = stack.enter_context(running(kimi.base_url, workers=2, **settings))
        flock = Flock(gateway, kimi, guests, tokens={key})
        flock.note()
        good_requests(flock, key)
        refused_requests(flock)
        strange_requests(flock)
        assert until(lambda: all(identity in gateway.server.log for identity in flock.ids))
        places = {file.name: file.read_bytes() for file in state.iterdir()}
        places["log"] = gateway.server.log.encode()
        if redis is not None:
            places["redis"] = redis.dump()
        flock.note()

    assert len(flock.tokens) > 20
    assert flock.good
    assert b"vault:" in b"".join(places.values())  # what is searched is where things are kept
    assert b"history:" in (places["redis"] if redis else b"".join(places.values()))
    places["errors"] = b"\n".join(flock.bad)
    assert b"internal_error" not in places["errors"]
    assert {name: found(flock.secrets | flock.asked | flock.told, held) for name, held in places.items()} == {
        name: [] for name in places
    }
    assert found(flock.secrets | flock.asked, b"\n".join(flock.good)) == []
    assert found(flock.told, b"\n".join(flock.good)) != []  # the search finds what is there
