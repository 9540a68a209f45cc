"""The settings: environment variables in, one frozen `Settings` out; `os.environ` is read here only.

A marshmallow schema checks the variables, so that all that is wrong is said at once. Its own
messages are not used: an error names the variable and what it must be, and can therefore never
repeat a token. The defaults stand in `Settings` alone; `Settings()` is the service with an empty
environment.

Names, defaults and meanings are those of the contract, section 7, and of .env.example.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import OneOf, Range, Regexp

from config import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

Network = IPv4Network | IPv6Network

_MIB: Final = 1024 * 1024
_DAY: Final = 86_400  # seconds; a longer timeout is a slip, and much longer ones overflow in the kernel
_DATABASE: Final = str(Path(__file__).resolve().parent.parent / "instance" / "state.sqlite3")
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_REDIS_OPTIONS: Final = {"db", "protocol", "ssl_ca_certs", "ssl_cert_reqs", "ssl_check_hostname"}
_CREDENTIAL: Final = re.compile(r"[\x21\x23-\x26\x28-\x7e]+")  # visible, no quotes


class SettingsError(ValueError):
    """Variables of the environment cannot be used; one line says which, and what each must be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator has set. Times are in seconds, sizes in bytes; no URL ends in a slash."""

    port: int = 8000
    """TCP port to listen on."""
    web_concurrency: int = 1
    """Number of worker processes."""
    kimi_protocol: Literal["connect", "rest"] = "connect"
    """What refresh tokens are served by: today's site or the legacy one."""
    kimi_web_url: str | None = None
    """The site for every token; None: by the token's own region."""
    kimi_auth_url: str | None = None
    """The token endpoint's host for every token; None: by the token's own region."""
    kimi_legacy_url: str = "https://kimi.moonshot.cn"
    """The legacy REST site."""
    kimi_tokens: tuple[str, ...] = field(default=(), repr=False)
    """The server's own Kimi credentials, for requests that come with one of `api_keys`."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    """Keys that clients may use; none: clients bring Kimi credentials."""
    allow_client_tokens: bool = False
    """Whether Kimi credentials of clients are taken although `api_keys` are set."""
    database_path: str = _DATABASE
    """The SQLite file that the workers of this machine share; `:memory:` for none."""
    redis_url: str | None = field(default=None, repr=False)
    """The Redis that several machines share; it comes before the file."""
    keep_conversations: bool = False
    """Whether conversations stay on the Kimi side after use."""
    continuity: Literal["on", "off"] = "on"
    """Whether a history goes on natively in the conversation that it continues."""
    conversation_ttl: float = 1800.0
    """How long an idle conversation is kept for that."""
    max_streams: int = 5000
    """How many answers one worker gives at a time."""
    max_streams_per_account: int = 2
    """How many answers one account gives at a time."""
    queue_seconds: float = 30.0
    """How long a request waits for its turn when there are more."""
    grace_seconds: float = 8.0
    """How long the status of a stream is held back for an early error; 0: not at all."""
    keepalive_seconds: float = 10.0
    """Silence after which a keep-alive goes out."""
    first_byte_timeout: float = 30.0
    """How long the upstream may take to its first byte."""
    idle_timeout: float = 90.0
    """How long the upstream may be silent between two bytes."""
    total_timeout: float = 900.0
    """How long one answer of the upstream may take."""
    max_json_bytes: int = 32 * _MIB
    """The largest JSON request body."""
    max_upload_bytes: int = 100 * _MIB
    """The largest file."""
    max_prompt_chars: int = 200_000
    """The longest prompt that is sent as a message; a longer one is sent as a text file."""
    strict_tool_choice: bool = False
    """Whether it is an error if a tool has to be called and the model calls none, also when it is asked again."""
    download_allow_cidrs: tuple[Network, ...] = ()
    """Networks that URLs of clients may lead to besides the public internet, on any port."""
    repeat_seconds: float = 5.0
    """How long a request that Kimi failed to answer is refused when a coding agent sends it again; 0: not at all."""
    cors_origins: tuple[str, ...] = ("*",)
    """Origins whose pages may use the service; `*` for any."""
    whole_answer_timeout: float | None = None
    """How long a request without streaming may take; None: as long as the upstream may."""
    kimi_user_agent: str = f"Mozilla/5.0 (compatible; kimi-gateway/{VERSION})"
    """What the gateway calls itself towards Kimi."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe records that are logged."""
    log_format: Literal["json", "text"] = "json"
    """One JSON object per line, or lines for a person."""


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ`, by default the process's environment.

    A variable that is unset, empty or blank takes its default; blanks around a value are dropped;
    variables that are not ours are ignored.

    Raises SettingsError, whose one line names every variable that cannot be used and never its
    value.
    """
    source = os.environ if environ is None else environ
    schema = _Variables()
    given = {name: value for name in schema.fields if (value := source.get(name, "").strip())}
    try:
        values: dict[str, Any] = schema.load(given)
    except ValidationError as error:
        wrong = (f"{name} must be {schema.fields[name].metadata['be']}" for name in sorted(error.messages_dict))
        # The marshmallow error holds the values: it must not follow this one into a traceback.
        raise SettingsError("; ".join(wrong) + ".") from None
    return Settings(**{name.lower(): value for name, value in values.items()})


def _base_url(value: str) -> str:
    """Return an http(s) URL that paths can be appended to, without the slash at its end."""
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed bracket, a port that is no number
        usable = False
    # urlsplit drops tabs and newlines in silence, hence the look at the text itself.
    if not usable or parts.scheme not in {"http", "https"} or not _VISIBLE.fullmatch(value):
        raise ValidationError("not a base URL")
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise ValidationError("more than a base URL")
    return parts.geturl().rstrip("/")


def _credentials(value: str) -> tuple[str, ...]:
    """Return the members of a comma-separated list, each of them once.

    Quotes are refused: `docker run --env-file` passes those around a value on as part of it.
    """
    members = tuple(dict.fromkeys(member for part in value.split(",") if (member := part.strip())))
    # A lone comma would otherwise mean "no keys", which opens the door that it was meant to close.
    if not members or not all(_CREDENTIAL.fullmatch(member) for member in members):
        raise ValidationError("not a list of credentials")
    return members


def _networks(value: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in value.split(","))
    except ValueError:
        raise ValidationError("not a list of networks") from None


def _origins(value: str) -> tuple[str, ...]:
    """Return origins as browsers write them, or `*` alone."""
    origins = tuple(dict.fromkeys(part.strip().lower().rstrip("/") for part in value.split(",") if part.strip()))
    if origins != ("*",):
        for origin in origins:
            if urlsplit(_base_url(origin)).path:
                raise ValidationError("more than an origin")
    if not origins:
        raise ValidationError("no origin")
    return origins


def _url() -> fields.Field[Any]:
    be = "an http or https URL without credentials, query and fragment, such as https://host/path"
    return fields.Function(deserialize=_base_url, metadata={"be": be})


def _redis_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = bool(parts.hostname or parts.scheme == "unix") and parts.port != 0
        usable = usable and set(dict(parse_qsl(parts.query))) <= _REDIS_OPTIONS
    except ValueError:
        usable = False
    if not usable or parts.scheme not in {"redis", "rediss", "unix"} or not _VISIBLE.fullmatch(value):
        raise ValidationError("not the URL of a Redis")
    return value


def _list() -> fields.Field[Any]:
    be = "credentials of visible ASCII characters without quotes, separated by commas"
    return fields.Function(deserialize=_credentials, metadata={"be": be})


def _switch() -> fields.Field[Any]:
    return fields.Boolean(metadata={"be": "true or false"})


def _choice(*words: str) -> fields.Field[Any]:
    return fields.Function(deserialize=str.lower, validate=OneOf(words), metadata={"be": "one of " + ", ".join(words)})


def _count(least: int, most: int) -> fields.Field[Any]:
    return fields.Integer(validate=Range(least, most), metadata={"be": f"a whole number from {least} to {most}"})


def _seconds(*, zero: bool = False) -> fields.Field[Any]:
    be = f"a number of seconds, {'0 or more' if zero else 'more than 0'} and at most {_DAY}"
    return fields.Float(validate=Range(0, _DAY, min_inclusive=zero), metadata={"be": be})


class _Variables(Schema):
    """How each variable is read; `metadata["be"]` is what an error says that it must be."""

    PORT = _count(1, 65_535)
    WEB_CONCURRENCY = _count(1, 256)
    KIMI_PROTOCOL = _choice("connect", "rest")
    KIMI_WEB_URL = _url()
    KIMI_AUTH_URL = _url()
    KIMI_LEGACY_URL = _url()
    KIMI_TOKENS = _list()
    API_KEYS = _list()
    ALLOW_CLIENT_TOKENS = _switch()
    DATABASE_PATH = fields.String(
        validate=Regexp(r"[^\x00-\x1f]{1,4096}\Z"), metadata={"be": "the path of a file, or :memory:"}
    )
    REDIS_URL = fields.Function(
        deserialize=_redis_url, metadata={"be": "the URL of a Redis, such as redis://host:6379/0 or rediss://host"}
    )
    KEEP_CONVERSATIONS = _switch()
    CONTINUITY = _choice("on", "off")
    CONVERSATION_TTL = _seconds()
    MAX_STREAMS = _count(1, 100_000)
    MAX_STREAMS_PER_ACCOUNT = _count(1, 100)
    QUEUE_SECONDS = _seconds(zero=True)
    REPEAT_SECONDS = _seconds(zero=True)
    GRACE_SECONDS = _seconds(zero=True)
    KEEPALIVE_SECONDS = _seconds()
    FIRST_BYTE_TIMEOUT = _seconds()
    IDLE_TIMEOUT = _seconds()
    TOTAL_TIMEOUT = _seconds()
    MAX_JSON_BYTES = _count(1, 1024 * _MIB)
    MAX_UPLOAD_BYTES = _count(1, 1024 * _MIB)
    MAX_PROMPT_CHARS = _count(1000, 100_000_000)
    STRICT_TOOL_CHOICE = _switch()
    CORS_ORIGINS = fields.Function(
        deserialize=_origins, metadata={"be": "* or origins such as https://chat.example.com, separated by commas"}
    )
    DOWNLOAD_ALLOW_CIDRS = fields.Function(
        deserialize=_networks, metadata={"be": "networks such as 10.1.0.0/16 or fd00::/8, separated by commas"}
    )
    WHOLE_ANSWER_TIMEOUT = _seconds()
    KIMI_USER_AGENT = fields.String(
        validate=Regexp(r"[\x20-\x7e]{1,256}\Z"),
        metadata={"be": "1 to 256 visible ASCII characters and spaces"},
    )
    LOG_LEVEL = _choice("debug", "info", "warning", "error")
    LOG_FORMAT = _choice("json", "text")
