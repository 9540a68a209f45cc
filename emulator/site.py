"""All that the emulated site knows, in one place, so that a reset is one call."""

from dataclasses import dataclass, field

from emulator.accounts import AccountBook
from emulator.chats import Shelf
from emulator.files import FileShelf
from emulator.log import Log
from emulator.models import DEFAULT_MODELS
from emulator.outages import Outages
from emulator.plan import Plan
from emulator.presigned import Grants
from emulator.uploads import Uploads
from emulator.values import Json, child


@dataclass
class Site:
    """The state behind every host that the emulator plays.

    `models` replaces the answer of GetAvailableModels, `auth` makes the auth host misbehave; both
    are the objects that the control plane was sent, and empty when nothing was.
    """

    accounts: AccountBook = field(default_factory=AccountBook)
    chats: Shelf = field(default_factory=Shelf)
    plan: Plan = field(default_factory=Plan)
    log: Log = field(default_factory=Log)
    outages: Outages = field(default_factory=Outages)
    files: FileShelf = field(default_factory=FileShelf)
    grants: Grants = field(default_factory=Grants)
    uploads: Uploads = field(default_factory=Uploads)
    models: Json = field(default_factory=dict)
    auth: Json = field(default_factory=dict)

    def model_list(self) -> Json:
        """Give what GetAvailableModels answers at present."""
        return child(self.models, "answer") or DEFAULT_MODELS

    def reset(self) -> None:
        """Forget everything, as if the process had just been started."""
        self.accounts.clear()
        self.chats.clear()
        self.plan.clear()
        self.log.clear()
        self.outages.clear()
        self.files.clear()
        self.grants.clear()
        self.uploads.clear()
        self.models = {}
        self.auth = {}
