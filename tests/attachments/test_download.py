"""Downloads: what comes of a URL, where its request goes, and what the request tells of us."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from app.attachments.download import MAX_DIALS, Limits
from app.errors import AttachmentRefused
from tests.attachments.names import PUBLIC, Names, Row, corpus
from tests.attachments.sites import (
    BESIDE,
    HERE,
    HOST,
    Visit,
    Visitor,
    answer,
    beside,
    in_chunks,
    listening,
    redirect,
    requires,
    server_context,
    site,
)

pytestmark = pytest.mark.usefixtures("nothing_left")

TLS = [row for row in corpus() if row.category == "redirect" and row.url.startswith("https")]
PLAIN = [row for row in corpus() if row.category == "redirect" and row not in TLS]
SIZES = [0, 1, 65_535, 65_536, 65_537, 512 * 1024, 512 * 1024 + 1, 3_000_000]


def lines(head: str) -> set[str]:
    """The lines of a request's head."""
    return set(head.strip().split("\r\n"))


def asking(path: str, host: str) -> set[str]:
    """All that a request says."""
    return {
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: kimi-gateway/tests",
        "Accept: */*",
        "Accept-Encoding: identity",
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_bytes_arrive_as_they_were_sent(size: int, framing: str) -> None:
    """However the server tells where they end, and whether they fit into memory or not."""
    body = os.urandom(size)
    page = {
        "length": answer(body),
        "chunks": answer(in_chunks(body, 10_007), "Transfer-Encoding: chunked"),
        "end": answer(body, "Connection: close"),
    }
    with site({"/a": page[framing]}) as server:
        assert Visitor().fetch(server.url("/a")) == body


def test_a_request_says_what_is_wanted_and_no_more() -> None:
    """The host is the URL's, and bytes are asked for as they are."""
    with site({"/a%20b?c=%E4%BD%A0": answer(b"x")}) as server:
        Visitor().fetch(server.url("/a b?c=你#top", host="FILES.example.net."))
        assert [lines(head) for head in server.heads] == [asking("/a%20b?c=%E4%BD%A0", f"{HOST}:{server.port}")]


@beside
def test_the_connection_goes_to_the_address_that_was_looked_at() -> None:
    """A name that resolves to something else a moment later leads nowhere else."""
    names = Names({HOST: [[HERE], [BESIDE]]})
    with (
        site({"/": answer(b"right")}) as server,
        site({"/": answer(b"wrong")}, address=BESIDE, port=server.port) as other,
    ):
        assert Visitor(names).fetch(server.url()) == b"right"
        assert (names.asked, other.connections) == ([(HOST, server.port)], 0)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        (HERE, HERE),
        pytest.param(BESIDE, BESIDE, marks=beside),
        pytest.param("::1", "[::1]", marks=requires("::1")),
    ],
)
def test_a_url_may_hold_an_address(address: str, host: str) -> None:
    """As its server expects to be called."""
    with site({"/": answer(b"x")}, address=address) as server:
        assert Visitor().fetch(server.url(host=host)) == b"x"
        assert f"Host: {host}:{server.port}" in lines(server.heads[0])


@pytest.mark.parametrize("dead", [["::1"], ["127.0.0.3"], ["127.0.0.3", "::1"]])
def test_another_address_serves_where_one_is_dead(dead: list[str]) -> None:
    """As many servers have an address that not everybody reaches."""
    with site({"/": answer(b"x")}) as server:
        assert Visitor(Names(otherwise=[*dead, HERE])).fetch(server.url()) == b"x"


def test_only_some_addresses_are_tried() -> None:
    """A name with hundreds would keep us busy, and be a way to look for open ports."""
    dead = [f"127.0.1.{number}" for number in range(MAX_DIALS)]
    with site({"/": answer(b"x")}) as server:
        with pytest.raises(AttachmentRefused, match="cannot be reached"):
            Visitor(Names(otherwise=[*dead, HERE])).fetch(server.url())
        assert server.connections == 0


def test_over_tls_the_server_is_the_one_of_the_url(authority: trustme.CA, authorities: str) -> None:
    """By SNI, by its certificate and by the Host header, though the connection goes to an address."""
    with site({"/": answer(b"secret")}, context=server_context(authority, HOST)) as server:
        names = Names(otherwise=[HERE])
        assert Visitor(names, authorities=authorities).fetch(server.url()) == b"secret"
        assert (server.greeted, names.asked) == ([HOST], [(HOST, server.port)])
        assert lines(server.heads[0]) == asking("/", f"{HOST}:{server.port}")


def test_over_tls_an_address_is_certified_as_one(authority: trustme.CA, authorities: str) -> None:
    """Nobody is asked for by name then."""
    with site({"/": answer(b"x")}, context=server_context(authority, HERE)) as server:
        assert Visitor(authorities=authorities).fetch(server.url(host=HERE)) == b"x"
        assert server.greeted == [None]


@pytest.mark.parametrize("names", [("evil.example.net",), (HERE,), ("example.net", "*.files.example.net")])
def test_a_certificate_of_another_name_is_refused(
    names: tuple[str, ...], authority: trustme.CA, authorities: str
) -> None:
    """Also one of the address; nothing is asked of such a server."""
    with site({"/": answer(b"x")}, context=server_context(authority, *names)) as server:
        with pytest.raises(AttachmentRefused, match="no certificate that can be trusted"):
            Visitor(authorities=authorities).fetch(server.url())
        assert server.heads == []


def test_a_certificate_of_nobody_is_refused(authority: trustme.CA) -> None:
    """Without `authorities` only the world's count."""
    with site({"/": answer(b"x")}, context=server_context(authority, HOST)) as server:
        with pytest.raises(AttachmentRefused, match="no certificate that can be trusted"):
            Visitor().fetch(server.url())
        assert server.heads == []


def test_the_environment_names_no_authority(
    monkeypatch: pytest.MonkeyPatch, authority: trustme.CA, authorities: str
) -> None:
    """Who is trusted is the same on every machine."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, authorities)
    with site({"/": answer(b"x")}, context=server_context(authority, HOST)) as server:
        with pytest.raises(AttachmentRefused, match="no certificate that can be trusted"):
            Visitor().fetch(server.url())
        assert server.heads == []


def test_a_certificate_that_has_expired_is_refused(authority: trustme.CA, authorities: str) -> None:
    """It is one of the right name."""
    context = server_context(authority, HOST)
    authority.issue_cert(HOST, not_after=datetime(2020, 1, 1, tzinfo=UTC)).configure_cert(context)
    with site({"/": answer(b"x")}, context=context) as server:
        with pytest.raises(AttachmentRefused, match="no certificate that can be trusted"):
            Visitor(authorities=authorities).fetch(server.url())
        assert server.heads == []


def test_what_breaks_under_a_good_certificate_is_not_laid_on_it(authority: trustme.CA, authorities: str) -> None:
    """Who reads the message would look in the wrong place."""

    def break_off(visit: Visit) -> None:
        visit.send(answer(b"", "Content-Length: 100") + b"x")
        visit.send_beneath_tls(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with site({"/": break_off}, context=server_context(authority, HOST)) as server:
        with pytest.raises(AttachmentRefused) as refused:
            Visitor(authorities=authorities).fetch(server.url())
        assert "certificate" not in refused.value.message


def test_a_server_without_tls_is_refused_over_https() -> None:
    """And hears nothing of the request."""
    heard: list[bytes] = []

    def converse(connection: socket.socket) -> None:
        heard.append(connection.recv(1_000_000))
        connection.sendall(answer(b"x"))

    with listening(converse) as rest, pytest.raises(AttachmentRefused):
        Visitor().fetch(f"https://{HOST}{rest}")
    assert [b"GET" in said for said in heard] == [False]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Again", "308 For Good"])
@pytest.mark.parametrize(
    "location",
    ["/b/c?d=e", "c?d=e", "./x/../c?d=e", "//{host}/b/c?d=e", "http://{host}/b/c?d=e#f", " HTTP://{host}/b/c?d=e "],
)
def test_a_redirect_is_followed(location: str, status: str) -> None:
    """Relative or absolute."""
    pages = {"/b/a": b"", "/b/c?d=e": answer(b"there")}
    with site(pages) as server:
        host = f"{HOST}:{server.port}"
        pages["/b/a"] = redirect(location.format(host=host), status=status)
        assert Visitor().fetch(server.url("/b/a")) == b"there"
        assert [lines(head) for head in server.heads] == [asking("/b/a", host), asking("/b/c?d=e", host)]


def test_a_redirect_in_raw_utf8_is_followed() -> None:
    """As browsers do, though a header should be ASCII."""
    with site(
        {
            "/": answer(b"", "Location: /你好".encode().decode("latin-1"), status="302 Found"),
            "/" + quote("你好"): answer(b"there"),
        }
    ) as server:
        assert Visitor().fetch(server.url()) == b"there"


@pytest.mark.parametrize(("first", "followed"), [(3, True), (4, False)])
def test_three_redirects_are_followed(*, first: int, followed: bool) -> None:
    """A fourth is not asked for."""
    pages = {f"/{number}": redirect(f"/{number - 1}") for number in range(1, 6)} | {"/0": answer(b"there")}
    with site(pages) as server:
        if followed:
            assert Visitor().fetch(server.url(f"/{first}")) == b"there"
        else:
            with pytest.raises(AttachmentRefused, match="redirects more than 3 times"):
                Visitor().fetch(server.url(f"/{first}"))
        assert len(server.heads) == 4


def test_redirects_may_be_forbidden() -> None:
    """By a limit of none."""
    with site({"/": redirect("/"), "/a": answer(b"x")}) as server:
        visitor = Visitor(limits=Limits(size=10, redirects=0))
        assert visitor.fetch(server.url("/a")) == b"x"
        with pytest.raises(AttachmentRefused, match="redirects more than 0 times"):
            visitor.fetch(server.url("/"))


@beside
@pytest.mark.parametrize(
    "location",
    [
        f"http://{BESIDE}:{{port}}/",
        "http://inner.example.net:{port}/",
        f"//{BESIDE}:{{port}}/",
        f"http://[::ffff:{BESIDE}]:{{port}}/",
        f"http://{HOST}@{BESIDE}:{{port}}/",
        "http://127.2:{port}/",
        "http://0x7f000002:{port}/",
        f"\thttp://{BESIDE}:{{port}}/",
        f"ht\ttp://{BESIDE}:{{port}}/",
        f"http:{BESIDE}:{{port}}/",
        f"http:/\\{BESIDE}:{{port}}/",
        f"\\\\{BESIDE}:{{port}}/",
    ],
)
def test_a_redirect_leads_to_no_other_address(location: str) -> None:
    """Each place on the way is looked at as the first one is; no connection is made where it may not lead."""
    names = Names({"inner.example.net": [[BESIDE]]}, otherwise=[HERE])
    pages = {"/": b"", "/ok": answer(b"ok")}
    with site(pages) as server, site({"/": answer(b"inner")}, address=BESIDE, port=server.port) as inner:
        pages["/"] = redirect(location.format(port=server.port))
        with pytest.raises(AttachmentRefused):
            Visitor(names, networks=(f"{HERE}/32",)).fetch(server.url())
        assert inner.connections == 0


@beside
def test_a_redirect_to_the_same_name_is_looked_up_anew() -> None:
    """What it resolves to now is judged, not what it did."""
    names = Names({HOST: [[HERE], [BESIDE]]})
    with site({"/": redirect("/b")}) as server, site({"/b": answer(b"x")}, address=BESIDE, port=server.port) as inner:
        with pytest.raises(AttachmentRefused, match="The URL is refused"):
            Visitor(names, networks=(f"{HERE}/32",)).fetch(server.url())
        assert inner.connections == 0


@pytest.mark.parametrize("row", [pytest.param(row, id=row.why) for row in PLAIN])
def test_redirects_of_the_corpus_are_refused(row: Row) -> None:
    """Though this machine itself is let through: the name stands for a public server from the second look on."""
    path, location = row.url.removeprefix("http://good.gw-test.net"), row.url.partition("/r/")[2]
    names = Names({"good.gw-test.net": [[HERE], [PUBLIC]]})
    with site({path: redirect(location)}) as server:
        with pytest.raises(AttachmentRefused, match="The URL is refused"):
            Visitor(names).fetch(server.url(path, host="good.gw-test.net"))
        assert server.connections == 1


@pytest.mark.parametrize("row", [pytest.param(row, id=row.why) for row in TLS])
def test_a_redirect_out_of_tls_is_refused(row: Row, authority: trustme.CA, authorities: str) -> None:
    """What was asked for in secret is not asked for in the open."""
    path, host = row.url.removeprefix("https://good.gw-test.net"), "good.gw-test.net"
    pages = {path: b"", "/relative": redirect("/there"), "/there": answer(b"there")}
    with site(pages, context=server_context(authority, host)) as server, site({"/": answer(b"open")}) as plain:
        visitor = Visitor(authorities=authorities)
        for location in (f"http://{host}:{plain.port}/", f"HTTP://{host}:{plain.port}/", row.url.partition("/r/")[2]):
            pages[path] = redirect(location)
            with pytest.raises(AttachmentRefused, match="redirects from https to something else"):
                visitor.fetch(server.url(path, host=host))
        assert plain.connections == 0
        assert visitor.fetch(server.url("/relative", host=host)) == b"there"


def test_a_redirect_into_tls_is_followed(authority: trustme.CA, authorities: str) -> None:
    """It is the usual one."""
    pages = {"/": b""}
    with site({"/": answer(b"there")}, context=server_context(authority, HOST)) as secured, site(pages) as server:
        pages["/"] = redirect(secured.url())
        assert Visitor(authorities=authorities).fetch(server.url()) == b"there"


@pytest.mark.parametrize(
    "page",
    [answer(status="302 Found"), redirect(""), redirect("   "), redirect("http://[::1/"), redirect("http://a\x80b/")],
)
def test_a_redirect_to_nowhere_is_refused(page: bytes) -> None:
    """Nobody can follow it."""
    with site({"/": page}) as server, pytest.raises(AttachmentRefused):
        Visitor().fetch(server.url())


def test_what_stands_behind_a_redirect_is_not_read() -> None:
    """It may be as much as the server likes."""
    sent: list[int] = []

    def pour(visit: Visit) -> None:
        visit.send(redirect("/there", "Content-Length: 1000000000"))
        for _ in range(1000):
            visit.send(b"x" * 1_000_000)
            sent.append(1_000_000)

    with site({"/": pour, "/there": answer(b"there")}) as server:
        assert Visitor().fetch(server.url()) == b"there"
    assert sum(sent) < 100_000_000


def test_nothing_is_kept_from_one_request_for_the_next() -> None:
    """No cookie, no login, no word of where we come from."""
    pages = {
        "/a?token=1": redirect("/b", "Set-Cookie: s=1; Path=/", "WWW-Authenticate: Basic"),
        "/b": answer(b"x", "Set-Cookie: t=2"),
    }
    with site(pages) as server:
        visitor, host = Visitor(), f"{HOST}:{server.port}"
        for path in ("/a?token=1", "/b"):
            visitor.fetch(server.url(path))
        assert [lines(head) for head in server.heads] == [
            asking("/a?token=1", host),
            asking("/b", host),
            asking("/b", host),
        ]


def test_the_environment_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: trustme.CA, authorities: str
) -> None:
    """No proxy, which would look up names by itself, and no password of this machine's user."""
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine {HOST} login me password secret\ndefault login me password secret\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with site({"/": answer(b"proxied")}) as proxy, site({"/": answer(b"x")}) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(host=HERE))
            monkeypatch.setenv(name.upper(), proxy.url(host=HERE))
        assert Visitor().fetch(server.url()) == b"x"
        with site({"/": answer(b"y")}, context=server_context(authority, HOST)) as secured:
            assert Visitor(authorities=authorities).fetch(secured.url()) == b"y"
            heads = [lines(head) for head in server.heads + secured.heads]
        assert heads == [asking("/", f"{HOST}:{port}") for port in (server.port, secured.port)]
        assert proxy.connections == 0


def test_a_url_with_a_password_is_refused() -> None:
    """It would be sent."""
    with site({"/": answer(b"x")}) as server:
        with pytest.raises(AttachmentRefused):
            Visitor().fetch(server.url(host=f"me:secret@{HOST}"))
        assert server.connections == 0


@pytest.mark.parametrize(
    "status",
    [
        "201 Created",
        "204 No Content",
        "206 Partial",
        "300 Many",
        "304 Same",
        "305 Proxy",
        "400 Bad",
        "401 Who",
        "403 No",
        "404 Gone",
        "500 Oh",
        "503 Later",
        "999 What",
    ],
)
def test_only_an_answer_of_200_is_a_file(status: str) -> None:
    """What comes with another one is a page that says why."""
    with (
        site({"/": answer(b"why", status=status)}) as server,
        pytest.raises(AttachmentRefused, match=f"answered {status[:3]}"),
    ):
        Visitor().fetch(server.url())


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
    ],
    ids=lambda page: page[:50].decode("latin-1").encode("unicode_escape").decode(),
)
def test_what_is_no_answer_is_refused(page: bytes) -> None:
    """And nothing else is raised."""
    with site({"/": page}) as server, pytest.raises(AttachmentRefused):
        Visitor().fetch(server.url())


@pytest.mark.parametrize(
    "page",
    [
        answer(b"hell", "Content-Length: 5"),
        answer(b"", "Content-Length: 5"),
        answer(b"5\r\nhel", "Transfer-Encoding: chunked"),
        answer(b"5\r\nhello\r\n", "Transfer-Encoding: chunked"),
        answer(b"5\r\nhello\r\n", "Transfer-Encoding: chunked", "Connection: close"),
        answer(b"hell", "Content-Length: 5", "Connection: close"),
        answer(b"x" * 600_000, "Content-Length: 600001"),
    ],
    ids=["short", "none", "within a chunk", "without an end", "without an end, closed", "short, closed", "on disk"],
)
def test_a_body_that_is_cut_is_refused(page: bytes) -> None:
    """Half a document would be taken for all of it."""
    with site({"/": page}) as server, pytest.raises(AttachmentRefused):
        Visitor().fetch(server.url())


@pytest.mark.parametrize(
    "header",
    [
        "Content-Encoding: gzip",
        "Content-Encoding: GZIP",
        "Content-Encoding: br",
        "Content-Encoding: zstd",
        "Content-Encoding: deflate, identity",
        "Content-Encoding: nobody-knows",
        "Transfer-Encoding: gzip, chunked",
    ],
)
def test_what_is_compressed_is_refused(header: str) -> None:
    """It could become anything, a thousand times as large; nobody asked for it."""
    with (
        site({"/": answer(in_chunks(b"x") if "Transfer" in header else b"x", header)}) as server,
        pytest.raises(AttachmentRefused),
    ):
        Visitor().fetch(server.url())


@pytest.mark.parametrize("header", ["Content-Encoding: identity", "Content-Encoding: Identity ", "Content-Encoding:"])
def test_a_body_may_be_said_to_be_as_it_is(header: str) -> None:
    """Some servers do."""
    with site({"/": answer(b"x", header)}) as server:
        assert Visitor().fetch(server.url()) == b"x"


def test_the_servers_type_is_told() -> None:
    """What it is worth is for others to say."""
    with site({"/": answer(b"x", "Content-Type: text/plain; charset=utf-8"), "/b": answer(b"x")}) as server:
        assert [Visitor().fetch_named(server.url(path))[2] for path in ("/", "/b")] == [
            "text/plain; charset=utf-8",
            None,
        ]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment", "path.txt"),
        ("attachment; filename=a.pdf", "a.pdf"),
        ('attachment; filename="a b.pdf"', "a b.pdf"),
        ('inline; filename="a;b=c.pdf"; size=3', "a;b=c.pdf"),
        ("attachment; filename*=UTF-8''%E4%BD%A0%E5%A5%BD.pdf", "你好.pdf"),
        ("attachment; filename*=iso-8859-1'en'%A3.pdf", "£.pdf"),
        ('attachment; filename*0="long-"; filename*1="name.pdf"', "long-name.pdf"),
        ("attachment; filename=\"fallback.pdf\"; filename*=UTF-8''%E4%BD%A0.pdf", "你.pdf"),
        ('attachment; filename="你好.pdf"'.encode().decode("latin-1"), "你好.pdf"),
        ('attachment; filename="caf\xe9.pdf"', "café.pdf"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\dir\\\\a.pdf"', "a.pdf"),
        ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("attachment; filename*=UTF-8''a%0D%0Ab%00c%E2%80%AEd.pdf", "abcd.pdf"),
        ('attachment; filename="a/"', "path.txt"),
        ('attachment; filename=".."', "path.txt"),
        ("attachment; filename*=UTF-8''%C2%A0..", "path.txt"),
        ('attachment; filename=""', "path.txt"),
        ("", "path.txt"),
        ("filename", "path.txt"),
        (";;;", "path.txt"),
    ],
)
def test_a_file_is_called_as_the_server_calls_it(disposition: str, name: str) -> None:
    """The last part of the path counts only where the server says nothing that can be used."""
    with site({"/some/path.txt?x=/y.z": answer(b"x", f"Content-Disposition: {disposition}")}) as server:
        assert Visitor().fetch_named(server.url("/some/path.txt?x=/y.z"))[1] == name


@pytest.mark.parametrize(
    "disposition",
    [
        "attachment; filename*=utf-8''a.pdf; filename*0=b.pdf",
        "attachment; filename*=undefined''a.pdf",
        "attachment; filename*=idna''%FF.pdf",
        "attachment; filename*=a\0b''c.pdf",
        f"attachment; filename*{'0' * 5000}=a.pdf",
        "attachment; filename*=utf-8''%FF%FE; filename*0*=x",
    ],
    ids=lambda disposition: disposition[:48].replace("\0", "0"),
)
def test_a_name_that_cannot_be_read_is_none(disposition: str) -> None:
    """However hostile; the bytes have come."""
    body = b"x" * 600_000
    with site({"/": answer(body, f"Content-Disposition: {disposition}")}) as server:
        data, name, _ = Visitor().fetch_named(server.url())
    assert data == body
    assert name is None or name.isprintable()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", None),
        ("/a/", None),
        ("/a/..", None),
        ("/a/%2e%2e", None),
        ("/a/b.png", "b.png"),
        ("/a/%E4%BD%A0.png", "你.png"),
        ("/a/b%2Fc.png", "c.png"),
        ("/a/b%00%0Ac.png", "bc.png"),
        ("/a/b.png?name=/c.jpg", "b.png"),
        ("/a/%C2%A0..", None),
        ("/a/" + "x" * 300 + ".png", "x" * 196 + ".png"),
    ],
)
def test_else_a_file_is_called_by_the_last_part_of_its_path(path: str, name: str | None) -> None:
    """As far as that can be a name."""
    with site({path: answer(b"x")}) as server:
        assert Visitor().fetch_named(server.url(path))[1] == name


def test_behind_a_redirect_the_last_path_counts() -> None:
    """The first is often a number."""
    with site({"/1": redirect("/there/a.pdf"), "/there/a.pdf": answer(b"x")}) as server:
        assert Visitor().fetch_named(server.url("/1"))[1] == "a.pdf"
