"""What bytes are taken for."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.attachments import sniff
from app.attachments.sniff import extension_of, fits, is_sure, is_textual, sniffed, type_of
from scripts.serving import ROOT
from tests.attachments.samples import (
    AVIF,
    BINARY,
    BMP,
    DOCX,
    GIF,
    HEIC,
    HTML,
    JPEG,
    OLE,
    PDF,
    PNG,
    RTF,
    SVG,
    TEXT,
    WEBP,
)

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (JPEG[:3] + b"\xe1\x00\x18Exif\x00\x00", "image/jpeg"),
        (GIF, "image/gif"),
        (b"GIF87a" + GIF[6:], "image/gif"),
        (WEBP, "image/webp"),
        (b"RIFF\n\n\n\nWEBPVP8 ", "image/webp"),
        (BMP, "image/bmp"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (HEIC, "image/heic"),
        (HEIC.replace(b"heic", b"mif1"), "image/heic"),
        (AVIF, "image/avif"),
        (PDF, "application/pdf"),
        (b"\xef\xbb\xbf" + PDF, "application/pdf"),
        (b"\r\n \n" + PDF, "application/pdf"),
        (b"\0\0junk of a mail server" + PDF, "application/pdf"),
        (DOCX, "application/zip"),
        (OLE, sniff.OLE),
        (RTF, "application/rtf"),
        (SVG, "image/svg+xml"),
        (b"\xef\xbb\xbf \n<SVG width='1'>", "image/svg+xml"),
        (b"<?xml version='1.0'?><!-- by a program --><!DOCTYPE svg><svg/>", "image/svg+xml"),
        (HTML, "text/html"),
        (b"\n\n  <HTML lang=de>", "text/html"),
        (b"<!doctype html>", "text/html"),
        (b"<?xml version='1.0'?><feed/>", "text/plain"),
        (TEXT, "text/plain"),
        (b"\xef\xbb\xbfhello", "text/plain"),
        ("名前".encode("utf-16"), "text/plain"),
        (b"\xfe\xff" + "a,b\n".encode("utf-16-be"), "text/plain"),
        ("名前,値".encode("shift-jis"), "text/plain"),
        ("简体中文".encode("gbk"), "text/plain"),
        ("ñandú".encode("latin-1"), "text/plain"),
        (b"\x1b[31mred\x1b[0m\ttab\x0cpage\r\n", "text/plain"),
        ("你".encode() * 1366, "text/plain"),
        (BINARY, "application/octet-stream"),
        (b"hello\0world", "application/octet-stream"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00", "application/octet-stream"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt \x10", "application/octet-stream"),
        (b"\x1f\x8b\x08\x00\x00\x00", "application/octet-stream"),
        (bytes(4096), "application/octet-stream"),
    ],
)
def test_bytes_are_known_by_their_beginning(head: bytes, kind: str) -> None:
    """As programs write them."""
    assert sniffed(head[: sniff.HEAD]) == kind


@pytest.mark.parametrize(
    "text",
    [
        "BMW is a car, and BM.... is not a bitmap",
        "GIF8 is how it begins",
        "GIF89",
        "PK, said the player",
        "II* is a chord",
        "RIFF....WAVE",
        "RTF is a format; {rtf is not",
        "%PDX-1.7",
        "PDF-1.7",
        "xxxx ftypheic",
        "<p>Some <svg> in a text</p>",
        "<svgx>",
        "<htmlx>",
        "SVG",
        "\ufeffÿØÿà",
        "",
    ],
)
def test_text_that_begins_like_something_else_is_text(text: str) -> None:
    """Letters are no signature."""
    assert sniffed(text.encode()) == "text/plain"


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_no_text_is_binary(text: str) -> None:
    """Whatever it is called, Kimi may read it."""
    assert sniffed(text.encode()) != sniff.UNKNOWN


@given(st.binary(max_size=200))
def test_any_bytes_are_something(data: bytes) -> None:
    """Of a known kind, and whole, so that it can be sent as a header."""
    kind = sniffed(data)
    assert "/" in kind
    assert extension_of(kind).startswith(".")


@pytest.mark.parametrize(
    "head",
    [
        b" " * 1_000_000,
        b"\n" * 999 + b"<" * 1_000_000,
        b"<?xml" * 200_000,
        b"<?xml " + b"<sv" * 300_000,
        b"\xef\xbb\xbf" * 300_000,
        b"%PDF" * 250_000,
        b"{\\rt" * 250_000,
        b"\x00%PDF" * 200_000,
    ],
    ids=lambda head: str(head[:12]),
)
def test_hostile_bytes_take_no_time(head: bytes) -> None:
    """A megabyte takes some milliseconds, though only some thousand bytes are looked at."""
    began = time.process_time()
    sniffed(head)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.pdf", "application/pdf"),
        ("a.b.PDF", "application/pdf"),
        (".pdf", "application/pdf"),
        ("a.docx", WORD),
        ("a.JPG", "image/jpeg"),
        ("a.heic", "image/heic"),
        ("a.txt", "text/plain"),
        ("a.md", "text/markdown"),
        ("a.csv", "text/csv"),
        ("a.yml", "text/plain"),
        ("a.ts", "text/plain"),
        ("a.json", "application/json"),
        ("a.html", "text/html"),
        ("a", None),
        ("pdf", None),
        ("", None),
        ("a.", None),
        ("2301.00001", None),
        ("a.pdf ", None),
        ("a.data:image/png,x", None),
        ("a.://b.png", "image/png"),
    ],
)
def test_a_name_promises_what_its_extension_says(name: str, kind: str | None) -> None:
    """In any case; without one it promises nothing."""
    assert type_of(name) == kind


KINDS = [sniffed(head) for head in (PNG, JPEG, GIF, WEBP, BMP, HEIC, AVIF, PDF, DOCX, RTF, SVG, HTML, TEXT, b"II*\0")]


def test_an_extension_promises_what_it_was_made_of() -> None:
    """Also where the system has no table of types, as in a small container."""
    program = (
        "import json, mimetypes, sys\n"
        "mimetypes.knownfiles.clear()\n"
        "mimetypes.init()\n"
        "from app.attachments.sniff import extension_of, type_of\n"
        "print(json.dumps({kind: [extension_of(kind), type_of('a' + extension_of(kind))] for kind in sys.argv[1:]}))\n"
    )
    run = [sys.executable, "-c", program, *KINDS, WORD]
    told = json.loads(subprocess.run(run, cwd=ROOT, capture_output=True, check=True).stdout)
    assert {kind: promised for kind, (_, promised) in told.items()} == {kind: kind for kind in (*KINDS, WORD)}
    assert ".bin" not in {extension for extension, _ in told.values()}


@pytest.mark.parametrize(
    ("kind", "extension"),
    [
        ("image/jpeg", ".jpg"),
        ("image/png", ".png"),
        ("application/pdf", ".pdf"),
        ("text/plain", ".txt"),
        ("text/html", ".html"),
        (WORD, ".docx"),
        (sniff.UNKNOWN, ".bin"),
        (sniff.OLE, ".bin"),
        ("nobody/knows", ".bin"),
        ("", ".bin"),
    ],
)
def test_kinds_have_extensions(kind: str, extension: str) -> None:
    """The usual one, and one for what nobody knows."""
    assert extension_of(kind) == extension


def test_containers_and_text_may_be_many_things() -> None:
    """All else is what it is."""
    assert [is_sure(kind) for kind in KINDS if kind not in {"application/zip", "text/html", "text/plain"}] == [
        True
    ] * 11
    assert [is_sure(kind) for kind in ("text/plain", "text/html", "application/zip", sniff.OLE, sniff.UNKNOWN)] == [
        False
    ] * 5


@pytest.mark.parametrize(
    ("kind", "textual"),
    [
        ("text/plain", True),
        ("text/x-anything", True),
        ("image/svg+xml", True),
        ("application/json", True),
        ("application/ld+json", True),
        ("application/pdf", False),
        ("image/png", False),
        ("application/zip", False),
        (sniff.UNKNOWN, False),
    ],
)
def test_some_types_are_text(*, kind: str, textual: bool) -> None:
    """By name."""
    assert is_textual(kind) is textual


@pytest.mark.parametrize(
    ("promised", "found", "kept"),
    [
        ("image/png", "image/jpeg", True),
        ("image/png", "image/svg+xml", True),
        ("image/png", "text/html", False),
        ("image/png", "application/pdf", False),
        ("image/png", sniff.UNKNOWN, False),
        ("image/svg+xml", "text/plain", True),
        ("image/svg+xml", "image/png", False),
        ("application/pdf", "application/pdf", True),
        ("application/pdf", "text/html", False),
        ("application/pdf", sniff.UNKNOWN, False),
        (WORD, "application/zip", True),
        (WORD, sniff.OLE, True),
        (WORD, "application/pdf", False),
        (WORD, "text/html", False),
        ("application/msword", sniff.OLE, True),
        ("application/vnd.ms-excel", "text/html", True),
        ("text/plain", "text/html", True),
        ("text/csv", "text/plain", True),
        ("text/csv", sniff.UNKNOWN, False),
        ("application/json", "text/plain", True),
        ("application/json", "application/zip", False),
        ("video/mp4", sniff.UNKNOWN, True),
        (sniff.UNKNOWN, "image/png", True),
    ],
)
def test_only_what_bytes_must_show_is_held_against_them(*, promised: str, found: str, kept: bool) -> None:
    """A promise of anything else may be true."""
    assert fits(promised, found) is kept
