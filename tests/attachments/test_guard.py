"""The guard: no URL leads to what is not public, and none that does is refused."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.attachments.guard import MAX_URL, PORTS, Destination, Guard, Resolve, system_addresses
from app.errors import AttachmentRefused
from tests.attachments.names import PUBLIC, Names, Row, corpus

ROWS = corpus()
BLOCKED = [row for row in ROWS if not row.allow and row.category not in {"rebind", "redirect"}]
ALLOWED = [row for row in ROWS if row.allow]
BEGUN = [row for row in ROWS if row.category in {"rebind", "redirect"}]
"""What is blocked only by what happens after the first look."""

ELSEWHERE = (ip_network("192.168.77.0/24"), ip_network("fd77::/64"))
"""Networks that no row leads to."""

SPECIAL = (IPv4Network("168.63.129.16/32"), IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
"""What Python calls global, in some version at least, though no server of the public internet stands there."""


def destination(
    url: str, resolve: Resolve | None = None, allowed: Sequence[IPv4Network | IPv6Network] = ()
) -> Destination:
    """Where a URL leads; every name resolves to a public address unless a test says otherwise."""
    return Guard(resolve=resolve or Names(otherwise=[PUBLIC]), allowed=allowed).destination(url)


def is_refused(url: str, resolve: Resolve | None = None, allowed: Sequence[IPv4Network | IPv6Network] = ()) -> bool:
    """Whether the guard refuses a URL."""
    try:
        destination(url, resolve, allowed)
    except AttachmentRefused:
        return True
    return False


def wide(text: str) -> str:
    """The same in the wide letters that stand between Chinese ones."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


def named(rows: Sequence[Row]) -> list[object]:
    """Rows as parameters that can be read."""
    return [pytest.param(row, id=f"{row.why} {row.url[:40]}".encode("unicode_escape").decode()) for row in rows]


def test_the_corpus_is_whole() -> None:
    """Else the tests below would hold of nothing."""
    assert Counter(row.category for row in ROWS) == {
        "literal": 21,
        "ipv6": 19,
        "scheme": 11,
        "parser": 20,
        "name": 9,
        "dns": 6,
        "rebind": 1,
        "redirect": 4,
        "control": 8,
    }


@pytest.mark.parametrize("row", named(BLOCKED))
@pytest.mark.parametrize("allowed", [(), ELSEWHERE], ids=["alone", "with networks"])
def test_what_is_not_public_is_refused(row: Row, allowed: Sequence[IPv4Network | IPv6Network]) -> None:
    """Whatever other networks are let through."""
    assert is_refused(row.url, row.names, allowed)


@pytest.mark.parametrize("row", named(ALLOWED))
@pytest.mark.parametrize("allowed", [(), ELSEWHERE], ids=["alone", "with networks"])
def test_what_is_public_is_not_refused(row: Row, allowed: Sequence[IPv4Network | IPv6Network]) -> None:
    """And leads to what its name resolves to."""
    assert destination(row.url, row.names, allowed).addresses == tuple(row.answers[0])


@pytest.mark.parametrize("row", named(BEGUN))
def test_only_what_was_looked_at_may_be_connected_to(row: Row) -> None:
    """One look-up, whatever a second one would say."""
    names = row.names
    assert destination(row.url, names).addresses == (PUBLIC,)
    assert len(names.asked) == 1


def test_a_destination_is_what_a_connection_needs() -> None:
    """Taken apart once, so that nobody reads the URL in another way."""
    names = Names({"example.com": [[PUBLIC, "2606:2800:220:1::1"]]})
    assert destination("HTTPS://Example.COM./a//b?q=1&r=/#top", names) == Destination(
        "https", "example.com", 443, "/a//b?q=1&r=/", (PUBLIC, "2606:2800:220:1::1")
    )
    assert names.asked == [("example.com", 443)]


@pytest.mark.parametrize(
    ("url", "scheme", "port"),
    [
        ("http://example.com", "http", 80),
        ("https://example.com", "https", 443),
        ("http://example.com:443/", "http", 443),
        ("https://example.com:80/", "https", 80),
    ],
)
def test_a_port_is_the_schemes_or_one_of_two(url: str, scheme: str, port: int) -> None:
    """A scheme says nothing about the port when there is one."""
    found = destination(url)
    assert (found.scheme, found.port) == (scheme, port)


@pytest.mark.parametrize(
    "url",
    [
        "http://redis/",
        "http://redis:6379/",
        "http://localhost/",
        "http://foo.localhost/",
        "http://metadata.google.internal/",
        "http://METADATA.GOOGLE.INTERNAL./",
        "http://printer.local/",
        "http://box.home.arpa/",
        "http://abc.onion/",
        "http://example.com:22/",
        "http://example.com:8080/",
        "http://example.com:0/",
        "http://example.com:/",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://exa_mple-.com/",
        "http://example.com\\@10.0.0.1/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://10.0.0.1/",
        "http://[::1]/",
        "http://8.8.8.8/",
        "http://[2606:4700:4700::1111]/",
    ],
)
def test_nothing_is_looked_up_without_need(url: str) -> None:
    """A look-up tells a name server who asks; what is refused by itself, or is an address, needs none."""
    names = Names(otherwise=[PUBLIC])
    is_refused(url, names)
    assert names.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "2001:200::1",
        "2003::1",
        "2400:3200::1",
        "2404:6800:4003::1",
        "2408:8000::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001::200e",
        "2a06:98c1:3120::1",
        "2c0f:fb50::1",
        "240e:4c:4008::1",
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
    ],
)
def test_the_public_internet_is_open(address: str) -> None:
    """Also right beside the networks that are not."""
    assert destination("http://example.com/", Names(otherwise=[address])).addresses == (address,)


def literal(address: IPv4Address | IPv6Address) -> str:
    """A URL of an address."""
    return f"http://{address}/" if isinstance(address, IPv4Address) else f"http://[{address}]/"


def is_known_as_public(address: IPv4Address) -> bool:
    """Whether it is one of the public internet, by Python and what its versions do not agree on."""
    return address.is_global and not address.is_multicast and not any(address in network for network in SPECIAL)


CLOSED = (
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
)
"""IANA's registries of special and of multicast addresses."""

inside = [IPv4Network(block) for block in CLOSED.split()]


@pytest.mark.parametrize("network", inside, ids=str)
def test_a_special_network_is_closed_from_end_to_end(network: IPv4Network) -> None:
    """And nothing beyond: what stands beside it is judged by itself."""
    ends = [network[0], network[network.num_addresses // 2], network[-1]]
    assert [is_refused(literal(address)) for address in ends] == [True] * 3
    for number in (int(network[0]) - 1, int(network[-1]) + 1):
        if 0 < number < 2**32:
            beside = IPv4Address(number)
            assert is_refused(literal(beside)) is not is_known_as_public(beside)


ipv4 = st.ip_addresses(v=4).map(lambda address: IPv4Address(int(address)))
ipv6 = st.ip_addresses(v=6).map(lambda address: IPv6Address(int(address)))


@given(ipv4)
def test_an_ipv4_address_is_judged_by_what_it_is(address: IPv4Address) -> None:
    """In a URL, as what a name resolves to, and within an IPv6 address."""
    forms: list[IPv4Address | IPv6Address] = [
        address,
        IPv6Address(f"::ffff:{address}"),
        IPv6Address(f"64:ff9b::{address}"),
    ]
    refused = not is_known_as_public(address)
    assert [is_refused(literal(form)) for form in forms] == [refused] * 3
    assert [is_refused("http://example.com/", Names(otherwise=[str(form)])) for form in forms] == [refused] * 3


@given(ipv6)
@example(IPv6Address("2001::7f00:1"))
@example(IPv6Address("2002:a9fe:a9fe::"))
@example(IPv6Address("2001:db8::1"))
def test_an_ipv6_address_that_may_be_followed_is_global(address: IPv6Address) -> None:
    """And leads to no other address by way of a tunnel."""
    if is_refused(literal(address)):
        return
    if address in IPv6Network("64:ff9b::/96"):
        return  # it is judged by the IPv4 address in it, as shown above
    plain = address.ipv4_mapped or address
    closed = [plain.is_multicast, plain.is_link_local, plain.is_reserved, plain.is_private]
    assert (plain.is_global, closed, address.sixtofour, address.teredo) == (True, [False] * 4, None, None)


@given(
    st.lists(
        st.sampled_from([PUBLIC, "2606:4700::1", "10.0.0.5", "::1", "169.254.169.254", "64:ff9b::a00:1"]), min_size=1
    )
)
def test_one_address_that_is_not_public_refuses_all(addresses: list[str]) -> None:
    """Wherever it stands: the connection might go there."""
    if set(addresses) <= {PUBLIC, "2606:4700::1"}:
        assert destination("http://example.com/", Names(otherwise=addresses)).addresses == tuple(
            dict.fromkeys(addresses)
        )
    else:
        assert is_refused("http://example.com/", Names(otherwise=addresses))


@pytest.mark.parametrize(
    "address", ["fe80::1%eth0", "2606:4700::1%eth0", "::ffff:8.8.8.8%1", "", "nonsense", "8.8.8", "08.8.8.8"]
)
def test_an_answer_that_is_no_public_address_is_refused(address: str) -> None:
    """Also one with a scope, which is of this link alone."""
    assert is_refused("http://example.com/", lambda _host, _port: [address])
    assert is_refused("http://example.com/", lambda _host, _port: [PUBLIC, address])


def test_an_address_with_a_scope_is_refused() -> None:
    """It is one of the link, however public it looks."""
    with pytest.raises(AttachmentRefused):
        destination("http://example.com/", lambda _host, _port: ["2606:4700::1%eth0"])
    assert is_refused("http://[fe80::1%25eth0]/")
    assert is_refused("http://[2606:4700::1%eth0]/")


def test_a_name_without_an_address_is_refused() -> None:
    """As one that the resolver cannot even ask for."""

    def fail(_host: str, _port: int) -> Sequence[str]:
        raise UnicodeError("label too long")

    assert is_refused("http://example.com/", lambda _host, _port: [])
    assert is_refused("http://example.com/", Names())
    assert is_refused("http://example.com/", fail)


PRIVATE = (IPv4Network("10.1.0.0/16"), IPv6Network("fd00:1::/32"))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://10.1.2.3:8080/", "10.1.2.3"),
        ("https://10.1.2.3/", "10.1.2.3"),
        ("http://[::ffff:10.1.2.3]:6379/", "::ffff:a01:203"),
        ("http://[64:ff9b::10.1.2.3]:1/", "64:ff9b::a01:203"),
        ("http://[fd00:1::9]:65535/", "fd00:1::9"),
        ("http://minio:9000/bucket/a.png", "10.1.2.3"),
        ("http://files.internal:8000/", "10.1.2.3"),
        ("http://files.example.com:8000/", "fd00:1::9"),
    ],
)
def test_a_network_can_be_let_through(url: str, address: str) -> None:
    """On any port, by any name, in any form of its addresses."""
    assert destination(url, Names(otherwise=[address]), PRIVATE).addresses == (address,)


def test_a_network_may_be_one_of_embedded_addresses() -> None:
    """As the prefix of a NAT64 is, of which the operator knows where it leads."""
    allowed = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:10.1.0.0/112"))
    urls = ["http://[64:ff9b::10.2.0.1]:8080/", "http://[::ffff:10.1.0.9]/", "http://[::ffff:10.2.0.9]/"]
    assert [is_refused(url, None, allowed) for url in urls] == [False, False, True]


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://10.2.0.1/", []),
        ("http://127.0.0.1/", []),
        ("http://[::1]/", []),
        ("http://169.254.169.254/", []),
        ("http://[fd00:2::1]/", []),
        ("http://[2002:a01:203::]/", []),
        ("http://minio/", ["10.2.0.1"]),
        ("http://minio/", [PUBLIC]),
        ("http://minio/", ["10.1.2.3", PUBLIC]),
        ("http://minio/", ["10.1.2.3", "127.0.0.1"]),
        ("http://a.internal/", [PUBLIC]),
        ("http://example.com:8080/", [PUBLIC]),
        ("http://example.com:8080/", ["10.1.2.3", PUBLIC]),
        ("http://example.com/", ["10.1.2.3", "10.2.0.1"]),
        ("http://8.8.8.8:8080/", []),
        ("http://10.1.2.3:0/", []),
        ("http://10.1.2.3:65536/", []),
        ("http://user@10.1.2.3/", []),
        ("ftp://10.1.2.3/", []),
        ("http://minio/", []),
    ],
)
def test_letting_a_network_through_opens_nothing_else(url: str, addresses: list[str]) -> None:
    """What leads elsewhere, even in part, is judged as if there were no such network."""
    assert is_refused(url, Names(otherwise=addresses), PRIVATE)


def test_a_name_may_lead_to_the_network_and_to_the_public_internet() -> None:
    """As a name does that is served from both."""
    found = destination("https://files.example.com/", Names(otherwise=["10.1.2.3", PUBLIC]), PRIVATE)
    assert found.addresses == ("10.1.2.3", PUBLIC)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://bücher.example/", "xn--bcher-kva.example"),
        ("http://BÜCHER.example/", "xn--bcher-kva.example"),
        ("https://例え.テスト/", "xn--r8jz45g.xn--zckzah"),
        ("https://例え。テスト。/", "xn--r8jz45g.xn--zckzah"),
        ("https://faß.de/", "xn--fa-hia.de"),
        (f"https://{wide('example')}.com/", "example.com"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("https://a_b.example.com/", "a_b.example.com"),
        ("https://1and1.com/", "1and1.com"),
    ],
)
def test_names_of_any_script_are_looked_up_in_ascii(url: str, host: str) -> None:
    """And that is what certificates and servers are asked for."""
    names = Names(otherwise=[PUBLIC])
    assert destination(url, names).host == host
    assert [asked for asked, _ in names.asked] == [host]


@pytest.mark.parametrize(
    "url",
    [
        f"http://{wide('127.0.0.1')}/",
        "http://127\uff0e0\uff0e0\uff0e1/",
        f"http://{wide('169')}.254.169.254/",
        f"http://{wide('localhost')}/",
        "http://metadata.google。internal/",
        f"http://a.{wide('onion')}/",
        "http://xn--.com\u200b/",
        "http://a\u2044b.com/",
        "http://a\u2100.com/",
        "http://example.com\uff0f@10.0.0.1/",
        "http://example.com\uff03.10.0.0.1/",
        "http://\u00ad127.0.0.1/",
        "http://0\u200d.0.0.0/",
        "http://example.com:8\u0660/",
        "http://example.com:\uff18\uff10/",
        "http://example.com:8\ufe0f0/",
        "http://exa mple.com/",
        "http://example.com\u3000/",
        "http://example.com,evil.com/",
        "http://example.com;evil.com/",
        "http://example.com&evil.com/",
        "http://example.com..\u200b/",
        "http://[::1/",
        "http://::1]/",
        "http://[]/",
        "http://[::1]evil.com/",
        "http://[::1]:80:80/",
        "http://example.com:80:80/",
        "http://example.com:+80/",
        "http://example.com:-80/",
        "http://example.com: 80/",
        "http://[v1.a]/",
        "http://[::ffff:127.0.0.1%0]/",
        "http:\\\\example.com/",
        "http://example.com\\.evil.com/",
        " http://example.com/",
        "http://example.com/ \n",
        "http://example.com/\x00",
        "http://example.com/\x85",
        "http://example.com/a\tb",
        "\ufeffhttp://example.com/",
        "view-source:http://example.com/",
        "https:example.com",
        "//example.com/",
        "",
        "http://" + "a" * 64 + ".com/",
        "http://" + "a." * 127 + "com/",
    ],
)
def test_what_readers_might_read_otherwise_is_refused(url: str) -> None:
    """Where two readers of a URL could disagree, there is no telling where it leads."""
    assert is_refused(url)


def test_only_ascii_letters_name_a_scheme() -> None:
    """Without regard to case a long s is an s, and a Kelvin sign a k."""
    assert is_refused("http\u017f://example.com/")
    assert is_refused("http\u017f://example.com:443/")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://example.com", "/"),
        ("http://example.com/", "/"),
        ("http://example.com?a=b", "/?a=b"),
        ("http://example.com#a", "/"),
        ("http://example.com/a?b#c?d", "/a?b"),
        ("http://example.com/%E4%BD%A0%2Fx", "/%E4%BD%A0%2Fx"),
        ("http://example.com/你好.png?名=值", "/%E4%BD%A0%E5%A5%BD.png?%E5%90%8D=%E5%80%BC"),
        ("http://example.com/a b?c d", "/a%20b?c%20d"),
        ("http://example.com/100%", "/100%"),
        ("http://example.com/a+b;c=(1),'~*!$&:@|[x]", "/a+b;c=(1),'~*!$&:@|[x]"),
        ('http://example.com/"<>`{}^', "/%22%3C%3E%60%7B%7D%5E"),
        ("http://example.com/../../a/./b", "/../../a/./b"),
        ("http://example.com//evil.com/", "//evil.com/"),
        ("http://example.com/@10.0.0.1/", "/@10.0.0.1/"),
        ("http://example.com/\u2028x", "/%E2%80%A8x"),
        ("http://example.com/?X-Signature=a%2Fb%3D&Y=%zz", "/?X-Signature=a%2Fb%3D&Y=%zz"),
    ],
)
def test_path_and_query_are_sent_as_they_are_read(url: str, target: str) -> None:
    """In ASCII; what is encoded already is not encoded again, or a signed URL would not be valid."""
    assert destination(url).target == target


def test_a_fragment_is_not_sent() -> None:
    """It is for who reads the page."""
    assert destination("https://example.com/a?b#c d").target == "/a?b"


@pytest.mark.parametrize(("length", "refused"), [(MAX_URL, False), (MAX_URL + 1, True)])
def test_a_url_has_a_greatest_length(*, length: int, refused: bool) -> None:
    """To the character."""
    url = "http://example.com/"
    assert is_refused(url + "a" * (length - len(url))) is refused


signs = st.sampled_from("/\\@:#?%[].-_1a \t\r\n\0①。ⓛüß\xa0\u017f\u212a\u0301\u0627\u200d\u2028\uff18\ud800")
schemes = st.sampled_from(["http://", "https://", "HTTP://", "http\u017f://"])
words = st.sampled_from(["80", "443", "22", "%2f", "%00", "0x7f", "xn--", "::1", "127.0.0.1", "8.8.8.8", "localhost"])
pieces = st.lists(st.one_of(signs, words, schemes), max_size=10).map("".join)
urls = st.one_of(st.text(), pieces, pieces.map("http://".__add__), pieces.map("https://example.com".__add__))


@given(urls)
@example("http://example.com/\ud800")
@example("http://\ud800.com/")
def test_whatever_a_url_is_it_is_refused_or_vetted(url: str) -> None:
    """Nothing else is raised; what is vetted can be sent, and means to others what it means here."""
    names = Names(otherwise=[PUBLIC])
    try:
        found = destination(url, names)
    except AttachmentRefused:
        return
    split = urlsplit(url)
    assert found.scheme == split.scheme
    assert found.port in PORTS
    assert found.port == (split.port or {"http": 80, "https": 443}[split.scheme])
    assert found.host.isascii()
    assert found.host == found.host.lower()
    assert not set(found.host) & set(" /\\?#@%[]\t\r\n\0")
    assert found.target.startswith("/")
    assert found.target.isascii()
    assert found.target.isprintable()
    assert " " not in found.target
    if names.asked:
        assert (names.asked, found.addresses) == ([(found.host, found.port)], (PUBLIC,))
    else:
        assert found.addresses == (str(ip_address(found.host)),)
    if url.isascii() and "[" not in url:
        assert (split.hostname or "").removesuffix(".") == found.host


@pytest.mark.parametrize(
    "url",
    [
        "http://" + "a." * 500_000,
        "http://" + "a" * 1_000_000,
        "h" * 1_000_000,
        "http://" + "-" * 2000,
        "http://" + "a-" * 1000,
        "http://" + "a." * 1000 + "-",
        "http://" + "_" * 2000 + "!",
        "http://[" + ":" * 2000,
        "http://[" + "0:" * 1000 + "]/",
        "http://" + "1" * 2000 + "/",
        "http://a:" + "1" * 2000 + "/",
        "http://" + "ü" * 2000,
        "http://" + "ü." * 1000,
        "http://" + "\u0301\u0316" * 1000,
        "http://a" + "\u0301" * 1000 + "\u0316" * 1000,
        "http://" + "ﷺ" * 2000,
        "http://" + "・a" * 1000,
        "http://" + "क\u094d\u200d" * 600,
        "http://example.com/" + "%" * 2000,
        "http://example.com/" + "你" * 2000,
        "http://example.com/" + "?" * 2000 + "#" * 20,
        "http://example.com/" + "\\" * 2000,
    ],
    ids=lambda url: url[:24].encode("unicode_escape").decode(),
)
def test_a_hostile_url_takes_no_time(url: str) -> None:
    """Each takes less than a millisecond; a second is for the machine."""
    began = time.process_time()
    is_refused(url)
    assert time.process_time() - began < 5


def test_the_system_knows_addresses() -> None:
    """Without a network: this machine's own name, and an address itself."""
    assert {"127.0.0.1", "::1"} & set(system_addresses("localhost", 80))
    assert system_addresses("127.0.0.1", 80) == ["127.0.0.1"]
    assert is_refused("http://localhost.localdomain/", system_addresses)


def test_a_refusal_names_the_reason_and_no_address() -> None:
    """Who asks must not learn by it what stands in the network."""
    with pytest.raises(AttachmentRefused) as refused:
        destination("http://inner.example.com/", Names(otherwise=["10.9.8.7"]))
    assert refused.value.message == "The URL is refused: it does not lead to a public address."
