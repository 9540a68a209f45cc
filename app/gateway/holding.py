"""Has an account hold a file: uploaded once, and read by Kimi before anything is asked about it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace

from app.accounts.credentials import Credential
from app.attachments.uploads import Uploads
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.errors import AttachmentRefused, FileNotFound, UpstreamProtocolError, UpstreamTimeout
from app.gateway.upstream import Upstream
from app.kimi.storage import READ_WITHIN


@dataclass(frozen=True, slots=True)
class Held:
    """A file on Kimi's side, by Kimi's id; `is_read` says that Kimi has read it."""

    file_id: str
    is_read: bool


class Holding:
    """The files of all accounts on Kimi's side."""

    def __init__(self, *, uploads: Uploads, upstream: Upstream) -> None:
        self._uploads = uploads
        self._upstream = upstream

    def protocol(self, credential: Credential) -> str:
        """The protocol over which a credential's files are held: their ids may mean nothing to the other one."""
        return self._upstream.protocol(credential)

    def hold(self, credential: Credential, content: Content, cancellation: Cancellation) -> Held:
        """Have an account hold a file; it is read when this returns. Raises GatewayError."""
        return self._held(credential, content, cancellation, form="", within=READ_WITHIN)

    def hold_plain(
        self, credential: Credential, content: Content, cancellation: Cancellation, *, within: float = READ_WITHIN
    ) -> Held:
        """The same for text of a kind that Kimi has refused: as plain text, under a name that says so."""
        plain = replace(content, name=f"{content.name}.txt", media_type="text/plain")
        return self._held(credential, plain, cancellation, form=":plain", within=within)

    def keep(self, credential: Credential, content: Content, cancellation: Cancellation, *, within: float) -> Held:
        """Have an account hold a file for later: reading may go on when `within` seconds are over.

        Raises GatewayError.
        """
        try:
            return self._held(credential, content, cancellation, form="", within=within)
        except AttachmentRefused:
            if not is_other_text(content):
                raise
        return self.hold_plain(credential, content, cancellation, within=within)

    def check(self, credential: Credential, file_id: str, cancellation: Cancellation, *, is_image: bool) -> None:
        """Wait until Kimi has read a file. Raises FileNotFound if it has none of that id, or another GatewayError."""
        self._upstream.await_read(credential, file_id, cancellation, is_image=is_image)

    def _held(
        self, credential: Credential, content: Content, cancellation: Cancellation, *, form: str, within: float
    ) -> Held:
        digest = hmac.digest(credential.secret, bytes.fromhex(content.digest), hashlib.sha256).hex()
        key = f"{credential.account}:{self.protocol(credential)}:{digest}{form}"
        while True:
            upload = self._uploads.once(
                key, lambda: self._upstream.upload(credential, content, cancellation), cancellation
            )
            try:
                self._upstream.await_read(
                    credential, upload.file_id, cancellation, is_image=content.is_image, within=within
                )
            except FileNotFound as error:
                self._uploads.forget(key, upload.file_id)
                if upload.remembered:
                    continue  # Kimi has dropped it since
                raise UpstreamProtocolError("Kimi does not know the file that it has just taken.") from error
            except AttachmentRefused as error:
                self._uploads.refuse(key, upload.file_id, error)
                raise
            except UpstreamTimeout:
                if within < READ_WITHIN:
                    return Held(upload.file_id, is_read=False)
                raise
            return Held(upload.file_id, is_read=True)


def is_other_text(content: Content) -> bool:
    """Whether a file is text under a name that does not say so."""
    return content.is_text and not content.name.lower().endswith(".txt")
