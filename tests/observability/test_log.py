"""The log and its redaction."""

from __future__ import annotations

import base64
import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.observability.log import REDACTED, JsonFormatter, TextFormatter, configure, redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JWT: Final = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
HEX: Final = "0123456789abcdef0123456789abcdef01234567"
FORMATTERS: Final = (JsonFormatter(), TextFormatter())


def record(
    message: str,
    *args: object,
    fields: Mapping[str, object] | None = None,
    error: BaseException | None = None,
) -> logging.LogRecord:
    """Make a record as logging does."""
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("app.test", logging.INFO, __file__, 1, message, args, info)
    made.created = 1_700_000_000.1234
    if fields is not None:
        made.__dict__["fields"] = fields
    return made


def as_json(made: logging.LogRecord) -> dict[str, object]:
    """Return the line of the JSON format, parsed."""
    line = JsonFormatter().format(made)
    assert "\n" not in line
    parsed: dict[str, object] = json.loads(line)
    return parsed


def caught(error: Exception) -> Exception:
    """Return `error` with a traceback."""
    try:
        raise error
    except type(error) as raised:
        return raised


# --- redact ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"got {JWT}.", f"got {REDACTED}"),
        ("two parts eyJhbGciOiJub25lIn0.eyJhIjoxfQ end", f"two parts {REDACTED} end"),
        (f"a {'x' * 20}.{'y' * 30}.{'z' * 43} b", f"a {REDACTED} b"),
        ("Authorization: Bearer abc", f"Authorization: Bearer {REDACTED}"),
        ("bearer a,b, c status 401", f"bearer {REDACTED} status 401"),
        ("key sk-ABCDEF0123456789 refused", f"key {REDACTED} refused"),
        ('{"refresh_token":"abc","x":1}', f'{{"refresh_token":"{REDACTED}","x":1}}'),
        ('{"accessToken" : "a\\u0062c d"}', f'{{"accessToken" : "{REDACTED}"}}'),
        (r'"{\"access_token\":\"abc\",\"x\":1}"', rf'"{{\"access_token\":\"{REDACTED}\",\"x\":1}}"'),
        ("{'api_key': 'abc', 'x': 1}", f"{{'api_key': '{REDACTED}', 'x': 1}}"),
        ("{'token': b'abc'}", f"{{'token': b'{REDACTED}'}}"),
        ("/v1beta/models?key=abc&alt=sse", f"/v1beta/models?key={REDACTED}&alt=sse"),
        ("?a=1&access_token=abc HTTP/1.1", f"?a=1&access_token={REDACTED} HTTP/1.1"),
        ("next%3Ftoken%3Dabc", f"next%3Ftoken%3D{REDACTED}"),
        ("x-api-key: abcdefghijklmnopqrst", f"x-api-key: {REDACTED}"),
        ("KIMI_TOKENS=a,b API_KEYS=c", f"KIMI_TOKENS={REDACTED} API_KEYS={REDACTED}"),
        ("Cookie: a=b; kimi-auth=c", f"Cookie: {REDACTED}"),
        (f"refresh token {HEX} was refused", f"refresh token {REDACTED} was refused"),
        (r'{"token":"a\"b","x":1}', f'{{"token":"{REDACTED}","x":1}}'),
        (f"token={HEX}", f"token={REDACTED}"),
    ],
)
def test_credentials_are_replaced(text: str, expected: str) -> None:
    """All the forms in which one gets into a text, and no more of the text than needed."""
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /v1/models 200",
        '{"usage": {"prompt_tokens": 12, "completion_tokens": 34}}',
        "max_tokens=100",
        "KeyError: 'model'",
        "app.observability.log and config.settings.load",
        "task-scheduler risk-free",
        f"sha1 {HEX}",
        "token expired",
        "the token: expired",
        "the bearer",
        "世界 monkey=1 turkey: 2",
        "https://www.kimi.com/chat/cvabcdefghijklmnopqr",
    ],
)
def test_harmless_text_is_left_alone(text: str) -> None:
    """What no credential can be is still there to read."""
    assert redact(text) == text


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "eyJ",
        "sk-",
        "a.",
        "aaaaaaaaaaaaaaaaaaaa.",
        "bearer ",
        "bearer a, ",
        " ",
        "token",
        "token ",
        "token=",
        'token="',
        "token='\\",
        "key:",
        '"',
        "\\",
        "cookie: ",
        "cookie ",
        "-",
        "f",
        "=",
        "token:'",
        "%3D",
        "世",
    ],
)
def test_any_amount_of_anything_is_quick(unit: str) -> None:
    """No pattern goes back; quadratic time would be minutes here."""
    text = unit * (60_000 // len(unit))
    begin = time.process_time()
    for before in ("", "token", "token:", 'token:"', "cookie:", "token:" + "\\" * 30_000 + '"'):
        redact(before + text)
    assert time.process_time() - begin < 15


# --- Formats ---------------------------------------------------------------------------------------------


def test_json_has_the_promised_members() -> None:
    """Programs read these names."""
    assert as_json(record("hello %s", "you", fields={"chat": "c1", "count": 2, "level": "mine"})) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "info",
        "logger": "app.test",
        "message": "hello you",
        "chat": "c1",
        "count": 2,
    }


def test_text_has_the_same_on_one_line() -> None:
    """For a person at a terminal."""
    line = TextFormatter().format(record("hello %s", "you", fields={"chat": "c 1", "seen": [1, "é"]}))
    assert line == '2023-11-14T22:13:20.123Z INFO app.test hello you chat=c 1 seen=[1, "é"]'


def test_exceptions_are_told_in_both_formats() -> None:
    """With their traceback."""
    made = record("oops", error=caught(RuntimeError("broken")))
    exception = as_json(made)["exception"]
    assert isinstance(exception, str)
    assert exception.startswith("Traceback")
    assert exception.endswith("RuntimeError: broken")
    assert TextFormatter().format(made).endswith("RuntimeError: broken")


def test_stack_is_told_in_both_formats() -> None:
    """It is asked for with stack_info=True."""
    made = record("where")
    made.stack_info = "Stack (most recent call last): token=abc"
    assert as_json(made)["stack"] == f"Stack (most recent call last): token={REDACTED}"
    assert TextFormatter().format(made).endswith(f"token={REDACTED}")


def test_values_cannot_forge_lines_of_text() -> None:
    """A line break that a client sent is shown, not written."""
    line = TextFormatter().format(record("path /a\nERROR fake", fields={"agent": "x\r\ny\u2028z"}))
    assert len(line.splitlines()) == 1


def test_fields_may_be_anything() -> None:
    """What is not JSON is written as Python shows it."""
    loop: dict[str, object] = {}
    loop["again"] = loop
    fields = {
        "nested": {"a": [1, 2.5, None, True, ("x",)]},
        "nan": float("nan"),
        "bytes": b"\xff",
        "set": {1},
        "surrogate": "\ud800",
        "token": JWT,
        "api_key": None,
        "headers": {"Authorization": "Basic abc", JWT: 1},
        "loop": loop,
    }
    line = as_json(record("x", fields=fields))
    assert line["nested"] == {"a": [1, 2.5, None, True, ["x"]]}
    assert (line["nan"], line["bytes"], line["set"]) == ("nan", "b'\\xff'", [1])
    assert (line["surrogate"], line["token"], line["api_key"]) == ("\ud800", REDACTED, None)
    assert line["headers"] == {"Authorization": REDACTED, REDACTED: 1}
    assert "again" in TextFormatter().format(record("x", fields=fields))


@pytest.mark.parametrize("fields", [None, "text", 1, ["a"]])
def test_fields_that_are_no_mapping_are_left_out(fields: object) -> None:
    """A slip of the caller costs the fields, not the record."""
    made = record("x")
    made.__dict__["fields"] = fields
    assert as_json(made)["message"] == "x"


@pytest.mark.parametrize("args", [("a",), (1, 2), ({"a": 1},)])
def test_arguments_that_do_not_fit_are_shown(args: tuple[object, ...]) -> None:
    """Logging would print them to stderr unredacted instead."""
    made = record("%d %(x)s %s", *args)
    assert "%d" in str(as_json(made)["message"])


# --- Secrets ---------------------------------------------------------------------------------------------

_VISIBLE: Final = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=20, max_size=80)
_BASE64: Final = st.binary(min_size=24, max_size=80).map(lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="))
_CLAIMS: Final = st.dictionaries(st.from_regex("[a-zA-Z][a-z0-9_]*", fullmatch=True), st.text(), min_size=1).map(
    lambda claims: base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("="),
)
_JWTS: Final = st.tuples(_CLAIMS, _CLAIMS, _BASE64).map(".".join)
_KEYS: Final = st.from_regex(r"sk-[A-Za-z0-9_-]{16,64}", fullmatch=True)
_OPAQUE: Final = st.from_regex(r"[0-9a-f]{40}", fullmatch=True) | _BASE64
_NAMES: Final = st.sampled_from(
    ["refresh_token", "access_token", "accessToken", "api_key", "apiKey", "x-api-key", "token", "key", "Authorization"],
)


def _written(secret: st.SearchStrategy[str], *forms: str) -> st.SearchStrategy[tuple[str, str]]:
    """Pair each secret with a text that has it, in one of the forms."""
    return st.tuples(st.sampled_from(forms), secret).map(lambda pair: (pair[0].replace("@", pair[1]), pair[1]))


_SECRETS: Final = st.one_of(
    _written(_JWTS, "@", "x=@&y", "a\n@\tb", '"@"', "(@)"),
    _written(_KEYS, "@", "x=@&y", "a\n@\tb", '"@"', "(@)"),
    _written(_VISIBLE, "Bearer @", "authorization: bearer @ x"),
    st.tuples(
        _NAMES, _written(_OPAQUE, "=@", "=@&x=1", '": "@"', "': '@'", "='@'", ': "@"', ": @", '\\": \\"@\\"')
    ).map(
        lambda pair: ("a\n" + pair[0] + pair[1][0], pair[1][1]),
    ),
)


@given(_SECRETS)
def test_secrets_never_survive(case: tuple[str, str]) -> None:
    """Wherever in a record the credential stands, and in both formats."""
    text, secret = case
    records = (
        record("%s", text),
        record("%s and %r", "a", text),
        record("%s", {"value": text}),
        record("x", fields={"value": text, "more": [{"deep": (text,)}], text: 1}),
        record("x", error=caught(ValueError(text))),
        record("x", error=caught(KeyError(text))),
    )
    for made in records:
        for formatter in FORMATTERS:
            line = formatter.format(made)
            assert secret not in line
            assert json.dumps(secret)[1:-1] not in line


@given(st.text())
def test_messages_without_arguments_are_redacted(text: str) -> None:
    """A percent sign in a message without arguments is only a percent sign."""
    assert JWT not in JsonFormatter().format(record(f"{text} {JWT}"))
    assert JWT not in TextFormatter().format(record(f"{text} {JWT}"))


@given(_NAMES, _VISIBLE)
def test_credential_fields_never_survive(name: str, secret: str) -> None:
    """By their name alone, whatever the value looks like."""
    for formatter in FORMATTERS:
        line = formatter.format(record("x", fields={name: secret, "in": {name: [secret]}}))
        assert secret not in line
        assert json.dumps(secret)[1:-1] not in line


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.floats() | st.binary()))
def test_every_record_is_one_line_of_json(message: str, fields: dict[str, object]) -> None:
    """No text, however odd, breaks the format."""
    as_json(record(message, fields=fields))
    assert len(TextFormatter().format(record(message, fields=fields)).splitlines()) == 1


# --- configure -------------------------------------------------------------------------------------------


@pytest.fixture
def untouched() -> Iterator[None]:
    """Put back what `configure` changes for the whole process."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logging.raiseExceptions)
    levels = {name: logging.getLogger(name).level for name in ("urllib3", "requests", "werkzeug")}
    yield
    root.handlers[:], root.level, logging.raiseExceptions = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("untouched")
def test_configure_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The second call replaces the first."""
    configure("info", "text")
    configure("info", "json")
    logging.getLogger("app.test").info("hello", extra={"fields": {"chat": "c1"}})
    logging.getLogger("app.test").debug("not this")
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert json.loads(line)["chat"] == "c1"
    (only,) = logging.getLogger().handlers
    assert isinstance(only, logging.StreamHandler)
    assert only.stream is sys.stderr


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("level", "noisy"), [("debug", logging.WARNING), ("error", logging.ERROR)])
def test_libraries_are_quiet(level: str, noisy: int) -> None:
    """They log URLs; warnings of theirs still count, if warnings count."""
    configure(level, "json")
    assert logging.getLogger().level == logging.getLevelNamesMapping()[level.upper()]
    for name in ("urllib3", "requests", "werkzeug"):
        assert logging.getLogger(f"{name}.child").getEffectiveLevel() == noisy


@pytest.mark.usefixtures("untouched")
def test_a_record_that_cannot_be_shown_leaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Logging itself would print the arguments of a record whose formatting fails."""

    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    configure("info", "json")
    logging.getLogger("app.test").info("%s %s", JWT, Odd())
    assert JWT not in capsys.readouterr().err


@pytest.mark.parametrize(("level", "fmt"), [("loud", "json"), ("info", "xml")])
def test_configure_refuses_other_words(level: str, fmt: str) -> None:
    """Before it changes anything."""
    handlers = logging.getLogger().handlers[:]
    with pytest.raises(ValueError, match="is one of"):
        configure(level, fmt)
    assert logging.getLogger().handlers == handlers
