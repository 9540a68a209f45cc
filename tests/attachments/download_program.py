"""Downloads from sites on loopback; a process of its own, because gevent patches all of one.

`python -m tests.attachments.download_program gevent|threads` prints a line for each download.
"""

import sys

if sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()

import socket  # nothing may be imported before the patch
import tempfile
import threading
import time

import trustme

from app.attachments.download import Limits
from app.chat.cancellation import Cancellation
from app.errors import GatewayError
from tests.attachments.sites import HOST, PATIENCE, Page, Visit, Visitor, answer, listening, server_context, site

SOON = PATIENCE / 2
TOTAL = Limits(size=1_000_000, total=0.5, silence=3 * PATIENCE, connect=3 * PATIENCE)
LONG = Limits(size=1_000_000, total=3 * PATIENCE, silence=3 * PATIENCE, connect=3 * PATIENCE)
WHOLE = answer(b"x" * 900_000)


def silent(visit: Visit) -> None:
    """Answer nothing."""
    visit.be_silent()


def dripping(visit: Visit) -> None:
    """Answer for ever."""
    visit.send(answer(b"", "Connection: close"))
    visit.drip(b"x")


def greeting(connection: socket.socket) -> None:
    """Begin the longest greeting that there is, and never end it."""
    connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
    for _ in range(int(3 * PATIENCE / 0.02)):
        connection.sendall(b"\0")
        time.sleep(0.02)


def main() -> None:
    """Serve and fetch."""
    authority = trustme.CA()
    context = server_context(authority, HOST)
    pages: dict[str, Page] = {"/whole": WHOLE, "/silent": silent, "/dripping": dripping}
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        authority.cert_pem.write_to_path(file.name)
        with site(pages) as plain, site(pages, context=context) as secured:
            for server in (plain, secured):
                for path in pages:
                    tell(path, server.url(path), TOTAL, file.name)
                for path in ("/silent", "/dripping"):
                    tell(f"left {path}", server.url(path), LONG, file.name, leave=True)
        with listening(greeting) as rest:
            tell("greeting", f"https://{HOST}{rest}", TOTAL, file.name)
            tell("left greeting", f"https://{HOST}{rest}", LONG, file.name, leave=True)


def tell(label: str, url: str, limits: Limits, authorities: str, *, leave: bool = False) -> None:
    """What comes of a download; "late" is added if it takes long."""
    cancellation, began = Cancellation(), time.monotonic()
    if leave:
        threading.Timer(0.3, cancellation.cancel).start()
    try:
        outcome = str(len(Visitor(limits=limits, authorities=authorities).fetch(url, cancellation)))
    except GatewayError as error:
        outcome = f"{type(error).__name__}: {error.message}"
    late = " late" if time.monotonic() - began > SOON else ""
    sys.stdout.write(f"{url.partition(':')[0]} {label} {outcome}{late}\n")


if __name__ == "__main__":
    main()
