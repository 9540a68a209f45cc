"""The guard: which addresses a URL of a client may lead this server to.

A client names the URL, and this server sends the request: without a guard it would reach whatever the server reaches,
such as the metadata service of a cloud. So the URL has to be plain, every address that its name resolves to has to be
public, and the connection goes to an address that was looked at, never to what the name resolves to a moment later.
Networks are written out, because what Python calls global differs between its versions.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote

import idna

from app.errors import AttachmentRefused
from config.settings import Network

MAX_URL = 2048
PORTS = frozenset({80, 443})

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host name, as text; raises OSError if it has none."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]+)([/?][^#]*)?(?:#.*)?", re.IGNORECASE | re.ASCII)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@%\s\u3000\xa0]+))(?::([0-9]{1,5}))?", re.IGNORECASE | re.ASCII)
_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
# A last label that begins with a digit is a number in some form, and no name that anybody has registered.
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?=[a-z]){_LABEL}")
_TARGET = "/?%:@!$&'()*+,;=-._~[]|"
_MAX_NAME = 253
_MAX_PORT = 65_535
_INNER_NAMES = ("localhost", "localdomain", "local", "internal", "home.arpa", "onion")

_CLOSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's wire server: its address is a public one
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_OPEN_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # special purposes, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: leads to any IPv4 address
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes: `addresses` were looked at and may be connected to, `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]


def system_addresses(host: str, port: int) -> list[str]:
    """What the system's resolver knows of a name; raises OSError."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Guard:
    """Looks at URLs; `allowed` are networks that are let through, on any port, besides the public internet."""

    def __init__(self, *, resolve: Resolve = system_addresses, allowed: Sequence[Network] = ()) -> None:
        self._resolve = resolve
        self._allowed = tuple(allowed)

    def destination(self, url: str) -> Destination:
        """Where a URL leads. Raises AttachmentRefused if it may not be followed."""
        scheme, host, port, target = _parsed(url)
        literal = _literal(host)
        if not self._allowed and literal is None:
            _check_outer(host, port)  # before anything is looked up
        addresses = [literal] if literal is not None else self._looked_up(host, port)
        if not all(self._is_allowed(address) for address in addresses):
            if literal is None:
                _check_outer(host, port)
            if port not in PORTS:
                raise _refused("its port is not 80 or 443")
            if not all(self._is_allowed(address) or is_public(address) for address in addresses):
                raise _refused("it does not lead to a public address")
        return Destination(scheme, host, port, target, tuple(str(address) for address in addresses))

    def _looked_up(self, host: str, port: int) -> list[Address]:
        try:
            found = [ip_address(address) for address in self._resolve(host, port)]
        except (OSError, ValueError):
            found = []
        if not found:
            raise _refused("its host name cannot be resolved")
        if any(isinstance(address, IPv6Address) and address.scope_id for address in found):
            raise _refused("it does not lead to a public address")  # a scope is one of this link
        return list(dict.fromkeys(found))

    def _is_allowed(self, address: Address) -> bool:
        return any(_plain(address) in network or address in network for network in self._allowed)


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet; what embeds an IPv4 address is judged by that."""
    plain = _plain(address)
    if isinstance(plain, IPv4Address):
        return not any(plain in network for network in _CLOSED_V4)
    return plain in _OPEN_V6 and not any(plain in network for network in _CLOSED_V6)


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address


def _parsed(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, and path with query."""
    if len(url) > MAX_URL:
        raise _refused(f"it is longer than {MAX_URL} characters")
    matched = _URL.fullmatch(url)
    if matched is None or _UNSAFE.search(url):
        raise _refused("it is not a plain http or https URL")
    scheme = matched[1].lower()
    authority = _AUTHORITY.fullmatch(matched[2])
    if authority is None:
        raise _refused("its host is not a plain one")
    port = int(authority[3] or _DEFAULT_PORTS[scheme])
    if not 0 < port <= _MAX_PORT:
        raise _refused("its port does not exist")
    host = _bracketed(authority[1]) if authority[1] else _folded(authority[2])
    target = matched[3] or "/"
    return scheme, host, port, quote(target if target.startswith("/") else f"/{target}", safe=_TARGET)


def _bracketed(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except ValueError:
        raise _refused("its host is not a plain one") from None


def _folded(name: str) -> str:
    """A host name as it is looked up: in lower case and ASCII, without the dot at its end."""
    try:
        folded = name.lower() if name.isascii() else idna.encode(name, uts46=True, std3_rules=True).decode()
    except idna.IDNAError:
        raise _refused("its host name is not a valid one") from None
    folded = folded.removesuffix(".")
    if len(folded) > _MAX_NAME or not (_literal(folded) or _NAME.fullmatch(folded)):
        raise _refused("its host name is not a valid one")
    return folded


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _check_outer(host: str, port: int) -> None:
    """Refuse names that mean something within a network only."""
    if "." not in host or any(host.endswith(f".{name}") for name in _INNER_NAMES):
        raise _refused("its host name is not a public one")
    if port not in PORTS:
        raise _refused("its port is not 80 or 443")


def _refused(why: str) -> AttachmentRefused:
    return AttachmentRefused(f"The URL is refused: {why}.")
