"""The settings."""

from __future__ import annotations

import contextlib
import dataclasses
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import VERSION
from config.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]


def refusal(environ: Mapping[str, str]) -> str:
    """Return the message with which `environ` is refused."""
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_empty_environment_gives_the_defaults_of_the_contract() -> None:
    """The defaults are promised to operators."""
    assert dataclasses.asdict(load({})) == {
        "port": 8000,
        "web_concurrency": 1,
        "kimi_protocol": "connect",
        "kimi_web_url": None,
        "kimi_auth_url": None,
        "kimi_legacy_url": "https://kimi.moonshot.cn",
        "kimi_tokens": (),
        "api_keys": (),
        "allow_client_tokens": False,
        "database_path": str(ROOT / "instance" / "state.sqlite3"),
        "redis_url": None,
        "keep_conversations": False,
        "continuity": "on",
        "conversation_ttl": 1800,
        "max_streams": 5000,
        "max_streams_per_account": 2,
        "queue_seconds": 30,
        "grace_seconds": 8,
        "keepalive_seconds": 10,
        "first_byte_timeout": 30,
        "idle_timeout": 90,
        "total_timeout": 900,
        "max_json_bytes": 33_554_432,
        "max_upload_bytes": 104_857_600,
        "max_prompt_chars": 200_000,
        "strict_tool_choice": False,
        "download_allow_cidrs": (),
        "cors_origins": ("*",),
        "repeat_seconds": 5,
        "whole_answer_timeout": None,
        "kimi_user_agent": "Mozilla/5.0 (compatible; kimi-gateway/0.1.0)",
        "log_level": "info",
        "log_format": "json",
    }
    assert load({}) == Settings()


def test_every_field_can_be_set() -> None:
    """Each field has a variable of its name in capitals."""
    settings = load(
        {
            "PORT": "5000",
            "WEB_CONCURRENCY": "4",
            "KIMI_PROTOCOL": "rest",
            "KIMI_WEB_URL": "http://127.0.0.1:9",
            "KIMI_AUTH_URL": "https://auth.example/prefix/",
            "KIMI_LEGACY_URL": "https://legacy.example/",
            "KIMI_TOKENS": "one,two",
            "API_KEYS": "three",
            "ALLOW_CLIENT_TOKENS": "true",
            "DATABASE_PATH": "/var/lib/kimi gateway/state.sqlite3",
            "REDIS_URL": "redis://redis.example:6379/0",
            "KEEP_CONVERSATIONS": "1",
            "CONTINUITY": "off",
            "CONVERSATION_TTL": "60.5",
            "MAX_STREAMS": "7",
            "MAX_STREAMS_PER_ACCOUNT": "3",
            "QUEUE_SECONDS": "0",
            "GRACE_SECONDS": "0",
            "KEEPALIVE_SECONDS": "0.5",
            "FIRST_BYTE_TIMEOUT": "1",
            "IDLE_TIMEOUT": "2",
            "TOTAL_TIMEOUT": "3",
            "MAX_JSON_BYTES": "4",
            "MAX_UPLOAD_BYTES": "5",
            "MAX_PROMPT_CHARS": "1000",
            "STRICT_TOOL_CHOICE": "true",
            "DOWNLOAD_ALLOW_CIDRS": "10.1.0.0/16,fd00::/8",
            "CORS_ORIGINS": "https://chat.example",
            "REPEAT_SECONDS": "0",
            "WHOLE_ANSWER_TIMEOUT": "28",
            "KIMI_USER_AGENT": "me/1 (x)",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "text",
        },
    )
    assert settings == Settings(
        port=5000,
        web_concurrency=4,
        kimi_protocol="rest",
        kimi_web_url="http://127.0.0.1:9",
        kimi_auth_url="https://auth.example/prefix",
        kimi_legacy_url="https://legacy.example",
        kimi_tokens=("one", "two"),
        api_keys=("three",),
        allow_client_tokens=True,
        database_path="/var/lib/kimi gateway/state.sqlite3",
        redis_url="redis://redis.example:6379/0",
        keep_conversations=True,
        continuity="off",
        conversation_ttl=60.5,
        max_streams=7,
        max_streams_per_account=3,
        queue_seconds=0,
        grace_seconds=0,
        keepalive_seconds=0.5,
        first_byte_timeout=1,
        idle_timeout=2,
        total_timeout=3,
        max_json_bytes=4,
        max_upload_bytes=5,
        max_prompt_chars=1000,
        strict_tool_choice=True,
        download_allow_cidrs=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
        cors_origins=("https://chat.example",),
        repeat_seconds=0,
        whole_answer_timeout=28,
        kimi_user_agent="me/1 (x)",
        log_level="debug",
        log_format="text",
    )
    assert all(
        value != default
        for value, default in zip(
            dataclasses.astuple(settings),
            dataclasses.astuple(Settings()),
            strict=True,
        )
    )


def test_every_variable_is_in_the_example_file() -> None:
    """An operator finds each variable in .env.example."""
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    for field in dataclasses.fields(Settings):
        assert f"#{field.name.upper()}=" in example


def test_version_is_that_of_the_project() -> None:
    """The two places that hold it agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == VERSION


def test_process_environment_is_the_default_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping the process's own variables are read."""
    monkeypatch.setenv("PORT", "1234")
    assert load().port == 1234


def test_dotenv_files_are_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file beside the program sets nothing."""
    (tmp_path / ".env").write_text("PORT=1234\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORT", raising=False)
    assert load().port == 8000


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_blank_is_unset(blank: str) -> None:
    """Compose files and panels set empty variables."""
    names = [field.name.upper() for field in dataclasses.fields(Settings)]
    assert load(dict.fromkeys(names, blank)) == Settings()


def test_foreign_variables_are_ignored() -> None:
    """Names are exact, and the rest is nobody's business."""
    assert load({"PATH": "/bin", "port": "x", "KIMI_TOKEN": "x"}) == Settings()


def test_lists_are_split_trimmed_and_unique() -> None:
    """Order is kept, since the first account is the first to serve."""
    assert load({"KIMI_TOKENS": " b , a,,b, c ,"}).kimi_tokens == ("b", "a", "c")


@pytest.mark.parametrize("word", ["INFO", "Info", " info "])
def test_words_may_be_in_any_case(word: str) -> None:
    """LOG_LEVEL=INFO is what people write."""
    assert load({"LOG_LEVEL": word}).log_level == "info"


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("true", True),
        ("TRUE", True),
        ("1", True),
        ("yes", True),
        ("false", False),
        ("0", False),
        ("off", False),
    ],
)
def test_switches(word: str, *, meaning: bool) -> None:
    """The usual words of shells and panels."""
    assert load({"KEEP_CONVERSATIONS": word}).keep_conversations is meaning


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("PORT", "80.5"),
        ("WEB_CONCURRENCY", "0"),
        ("KIMI_PROTOCOL", "grpc"),
        ("KIMI_TOKENS", ","),
        ("KIMI_TOKENS", '"abc"'),
        ("KIMI_TOKENS", "a b"),
        ("API_KEYS", "'abc'"),
        ("API_KEYS", "schlüssel"),
        ("API_KEYS", "a\udcff"),
        ("API_KEYS", "a\nb"),
        ("ALLOW_CLIENT_TOKENS", "maybe"),
        ("DATABASE_PATH", "a\x00b"),
        ("DATABASE_PATH", "a\nb"),
        ("DATABASE_PATH", "x" * 4097),
        ("CONTINUITY", "true"),
        ("CONTINUITY", "native"),
        ("CONVERSATION_TTL", "0"),
        ("CONVERSATION_TTL", "-1"),
        ("CONVERSATION_TTL", "30m"),
        ("MAX_STREAMS", "0"),
        ("MAX_STREAMS", "100001"),
        ("MAX_STREAMS_PER_ACCOUNT", "0"),
        ("MAX_STREAMS_PER_ACCOUNT", "101"),
        ("MAX_STREAMS_PER_ACCOUNT", "1.5"),
        ("QUEUE_SECONDS", "-0.1"),
        ("QUEUE_SECONDS", "inf"),
        ("GRACE_SECONDS", "-1"),
        ("KEEPALIVE_SECONDS", "0"),
        ("IDLE_TIMEOUT", "nan"),
        ("IDLE_TIMEOUT", "inf"),
        ("TOTAL_TIMEOUT", "1e9"),
        ("TOTAL_TIMEOUT", "15m"),
        ("WHOLE_ANSWER_TIMEOUT", "0"),
        ("MAX_JSON_BYTES", "0"),
        ("MAX_JSON_BYTES", "32M"),
        ("MAX_UPLOAD_BYTES", "0"),
        ("MAX_UPLOAD_BYTES", "100M"),
        ("MAX_UPLOAD_BYTES", "1e8"),
        ("MAX_UPLOAD_BYTES", str(1024**3 + 1)),
        ("MAX_PROMPT_CHARS", "999"),
        ("MAX_PROMPT_CHARS", "-1"),
        ("MAX_PROMPT_CHARS", "100000001"),
        ("MAX_PROMPT_CHARS", "all"),
        ("STRICT_TOOL_CHOICE", "perhaps"),
        ("KIMI_USER_AGENT", "a\r\nX-Evil: 1"),
        ("KIMI_USER_AGENT", "ü"),
        ("KIMI_USER_AGENT", "x" * 257),
        ("LOG_LEVEL", "trace"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_bad_values_name_their_variable(name: str, value: str) -> None:
    """The message begins with the variable and says what it must be."""
    message = refusal({name: value})
    assert message.startswith(f"{name} must be ")


@pytest.mark.parametrize(
    "url",
    [
        "kimi.com",
        "//kimi.com",
        "ftp://kimi.com",
        "https://",
        "https:///path",
        "https://:8000",
        "https://kimi.com:port",
        "https://kimi.com:0",
        "https://kimi.com:99999",
        "https://[::1",
        "https://me@kimi.com",
        "https://me:secret@kimi.com",
        "https://kimi.com?x=1",
        "https://kimi.com/?",
        "https://kimi.com/#",
        "https://kimi.com/a b",
        "https://ki\tmi.com",
        "https://kimi.例",
    ],
)
def test_bad_urls(url: str) -> None:
    """Only a base URL will do; what else is in it would be lost when paths are appended."""
    for name in ("KIMI_WEB_URL", "KIMI_AUTH_URL", "KIMI_LEGACY_URL"):
        message = refusal({name: url})
        assert message.startswith(f"{name} must be an http or https URL")


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("http://localhost:8001", "http://localhost:8001"),
        ("https://kimi.com/", "https://kimi.com"),
        ("https://kimi.com///", "https://kimi.com"),
        ("https://kimi.com/pre/fix/", "https://kimi.com/pre/fix"),
        ("HTTPS://Kimi.com", "https://Kimi.com"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_good_urls(url: str, stored: str) -> None:
    """A prefix stays, the slash at the end goes."""
    assert load({"KIMI_WEB_URL": url}).kimi_web_url == stored


def test_the_database_is_beside_the_program_wherever_it_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A restart from another folder must find the rotated tokens again."""
    monkeypatch.chdir(tmp_path)
    assert load({}).database_path == str(ROOT / "instance" / "state.sqlite3")
    assert (ROOT / "wsgi.py").exists()


@pytest.mark.parametrize("path", [":memory:", "state.sqlite3", "/var/lib/状态.sqlite3", "C:\\state.sqlite3"])
def test_a_database_may_be_anywhere(path: str) -> None:
    """Or in memory only."""
    assert load({"DATABASE_PATH": path}).database_path == path


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1",
        "redis://:secret@redis.example:6380/3",
        "redis://user:secret@[::1]:6379/0",
        "rediss://redis.example/0?ssl_cert_reqs=none",
        "unix:///run/redis.sock",
        "unix://:secret@/run/redis.sock?db=1",
    ],
)
def test_good_redis_urls(url: str) -> None:
    """Those that redis-py takes, as they are; a repr does not show the password."""
    settings = load({"REDIS_URL": url})
    assert settings.redis_url == url
    assert url not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "redis.example:6379",
        "http://redis.example",
        "redis://",
        "redis:///0",
        "redis://:6379",
        "redis://redis.example:port",
        "redis://redis.example:0",
        "redis://redis.example:99999",
        "redis://[::1",
        "redis://redis.example /0",
        "redis://:se/cret@redis.example",
        "redis://redis.exämple",
        "redis://redis.example?no_such_option=1",
    ],
)
def test_bad_redis_urls(url: str) -> None:
    """They are refused at the start, not with every request; the message shows nothing of the URL."""
    message = refusal({"REDIS_URL": url})
    assert message.startswith("REDIS_URL must be the URL of a Redis")
    assert "cret" not in message
    assert "redis.example" not in message.removeprefix("REDIS_URL must be the URL of a Redis")


@pytest.mark.parametrize(
    ("value", "networks"),
    [
        ("10.0.0.0/8", ["10.0.0.0/8"]),
        ("10.0.0.0/8,192.168.1.0/24,fd00::/8", ["10.0.0.0/8", "192.168.1.0/24", "fd00::/8"]),
        (" 10.0.0.0/8 ,\t fd00::/8 ", ["10.0.0.0/8", "fd00::/8"]),
        ("127.0.0.1", ["127.0.0.1/32"]),
        ("127.0.0.1/32,::1", ["127.0.0.1/32", "::1/128"]),
        ("10.0.0.0/255.0.0.0", ["10.0.0.0/8"]),
        ("0.0.0.0/0,::/0", ["0.0.0.0/0", "::/0"]),
        ("FD00::/8", ["fd00::/8"]),
    ],
)
def test_networks_that_downloads_may_go_to(value: str, networks: list[str]) -> None:
    """Addresses and networks of both families, with blanks wherever people put them."""
    assert load({"DOWNLOAD_ALLOW_CIDRS": value}).download_allow_cidrs == tuple(ip_network(one) for one in networks)


@pytest.mark.parametrize(
    "value",
    [
        "10.1.2.3/8",
        "192.168.1.1/24",
        "fd00::1/8",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "10.0.0.0 /8",
        "10.0.0/8",
        "10.0.0.0/8;fd00::/8",
        "10.0.0.0/8 fd00::/8",
        ",",
        "10.0.0.0/8,,fd00::/8",
        "intranet.example",
        "*",
        "all",
        "http://10.0.0.1/",
        "10.0.0.1:8080",
        "[::1]",
        "0x7f000001",
        "2130706433",
        "010.0.0.0/8",
        "\uff11\uff10.0.0.0/8",
        "10.0.0.0-10.0.0.255",
        '"10.0.0.0/8"',
    ],
)
def test_bad_networks(value: str) -> None:
    """A network with host bits is a slip, and what is opened by a guess is open too wide."""
    assert refusal({"DOWNLOAD_ALLOW_CIDRS": value}) == (
        "DOWNLOAD_ALLOW_CIDRS must be networks such as 10.1.0.0/16 or fd00::/8, separated by commas."
    )


def test_all_mistakes_are_told_at_once() -> None:
    """An operator mends them in one go."""
    message = refusal({"PORT": "x", "LOG_LEVEL": "y", "API_KEYS": ",", "IDLE_TIMEOUT": "10"})
    assert message == (
        "API_KEYS must be credentials of visible ASCII characters without quotes, "
        "separated by commas; "
        "LOG_LEVEL must be one of debug, info, warning, error; "
        "PORT must be a whole number from 1 to 65535."
    )


@given(st.dictionaries(st.sampled_from([f.name.upper() for f in dataclasses.fields(Settings)]), st.text()))
def test_any_text_is_read_or_refused(environ: dict[str, str]) -> None:
    """No value makes anything but a SettingsError."""
    with contextlib.suppress(SettingsError):
        load(environ)


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=12).map("s3cret{}".format))
def test_values_are_not_echoed(secret: str) -> None:
    """Neither a refusal nor a repr shows what the variable held."""
    for name in ("KIMI_TOKENS", "API_KEYS"):
        assert secret not in refusal({name: f'"{secret}"'})
        assert secret not in repr(load({name: secret}))
    assert secret not in refusal({"KIMI_WEB_URL": f"https://x:{secret}@kimi.com"})
    assert secret not in refusal({"REDIS_URL": f"http://x:{secret}@redis.example"})
    assert secret not in repr(load({"REDIS_URL": f"redis://x:{secret}@redis.example"}))


def test_settings_are_frozen() -> None:
    """Nothing changes them while the service runs."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("*", ("*",)),
        ("https://Chat.example/", ("https://chat.example",)),
        ("https://a.example, http://127.0.0.1:3000,https://a.example", ("https://a.example", "http://127.0.0.1:3000")),
    ],
)
def test_origins_are_read_as_browsers_write_them(value: str, origins: tuple[str, ...]) -> None:
    """In small letters and without a path."""
    assert load({"CORS_ORIGINS": value}).cors_origins == origins


@pytest.mark.parametrize(
    "value", ["chat.example", "https://a.example/chat", "https://a.example,*", ",", "null", "https://"]
)
def test_what_is_no_origin_is_refused(value: str) -> None:
    """It would let nobody in, or everybody."""
    assert refusal({"CORS_ORIGINS": value}) == (
        "CORS_ORIGINS must be * or origins such as https://chat.example.com, separated by commas."
    )
