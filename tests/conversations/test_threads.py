"""Whatever clients do, and however workers end: the right context for every answer, and nothing left behind.

A machine in hypothesis's sense drives whole gateways over a Kimi that remembers. Clients ask, show pictures, edit,
branch, regenerate, leave, and do all of that at the same time; workers share one store, and are killed; time passes;
the person deletes chats and speaks in them; Kimi's chats are full, it drops files or does not take them. After every
step each turn that Kimi met must have said and shown exactly its request's history, with files of its own account, and
every chat that a gateway opened must be in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.accounts.credentials import Credential
from app.accounts.pool import Limits
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, PromptMoved, TextDelta
from app.chat.request import ChatRequest, FilePart, Message, Role
from app.errors import UpstreamUnavailable
from app.gateway.custody import SLACK
from app.state.leases import LIFE
from app.state.presence import DOUBT
from app.state.sqlite import MEMORY, SqliteStore
from tests.conversations.trees import OUTCOMES, TreeKimi
from tests.fakes import FakeClock, jwt
from tests.gateway.houses import ANN, BOB, PNG, TTL, House, inline, refreshable, showing

ANN_LEGACY = refreshable("ann")
ACCOUNTS: list[tuple[Credential, ...]] = [(ANN,), (BOB,), (ANN, BOB), (ANN_LEGACY,), (ANN_LEGACY, ANN)]
WORKERS = 2
KEPT = st.sampled_from(["{}", "{}", "{}", " {} ", "<think>well</think>{}", "{}\n\n", "{}!"])
"""What clients make of an answer; only the last one is an edit."""


@dataclass(frozen=True)
class Asked:
    """What a client does: from which history it goes on, how many messages of it it drops, what it says and shows."""

    base: int
    drop: int
    text: str
    shows: str
    more: Mapping[str, object]
    accounts: tuple[Credential, ...]
    worker: int


TEXT = st.sampled_from(["a", "b"])
OUTCOME = st.sampled_from(["whole", "whole", "whole", *OUTCOMES, "not uploaded"])
ASKED = st.builds(
    Asked,
    base=st.sampled_from([0, 0, 0, 1, 2, 3]),
    drop=st.sampled_from([0, 0, 0, 1, 2, 3]),
    text=TEXT,
    shows=st.sampled_from(["", "", "", "x", "y", "xy"]),
    more=st.sampled_from([{}, {}, {"session": "s"}, {"session": "t"}, {"model": "kimi-k3"}, {"keep": True}]),
    accounts=st.sampled_from(ACCOUNTS),
    worker=st.integers(0, WORKERS - 1),
)


@dataclass(eq=False)
class Open:
    """An answer that is on its way to a client."""

    house: House
    request: ChatRequest
    events: Iterator[list[Event]]
    text: str = ""


def picture_of(name: str) -> FilePart:
    """A picture."""
    return inline(PNG + name.encode(), name=f"{name}.png", image=True)


class Threads(RuleBasedStateMachine):
    """Clients, workers, the person, and time."""

    protocol = "connect"

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = SqliteStore(MEMORY, clock=self.clock)
        self.kimi = TreeKimi(words=self.words)
        self.started = 0
        self.houses = [self.worker() for _ in range(WORKERS)]
        self.histories: list[tuple[Message, ...]] = [()]
        self.open: list[Open] = []
        self.killed: list[Open] = []
        self.checked = 0
        self.repeats = False

    def words(self, number: int) -> str:
        """An answer: one that no other equals, or always the same."""
        return "O K" if self.repeats else f"Answer\n{number}"

    def worker(self) -> House:
        """A worker on a machine of its own."""
        self.started += 1
        return House(
            self.kimi,
            storage=self.kimi.storage,
            protocol=self.protocol,
            limits=Limits(streams_per_account=40, queue=0.0),
            clock=self.clock,
            store=self.store,
            machine=f"machine-{self.started}",
            grant=lambda credential, number: jwt(sub=credential.claims.subject, n=number, iat=0, exp=1e11),
        )

    # --- What happens --------------------------------------------------------------------------------------

    @initialize(repeats=st.booleans())
    def choose_words(self, *, repeats: bool) -> None:
        """Answers that are all the same make histories that are, too."""
        self.repeats = repeats

    @rule(asked=ASKED, count=st.integers(1, 4), kept=KEPT, outcome=OUTCOME)
    def talk(self, *, asked: Asked, count: int, kept: str, outcome: str) -> None:
        """A client takes some turns, one after the other; the last one may end badly, and be asked again."""
        turns = [asked, *(replace(asked, base=0, drop=0) for _ in range(count - 1))]
        for turn in turns[:-1]:
            self.read(self.ask(turn), kept, whole=True)
        self.read(self.ask(turns[-1], outcome), kept, whole=True)

    @rule(asked=ASKED, texts=st.tuples(TEXT, TEXT), outcomes=st.tuples(OUTCOME, OUTCOME), stays=st.booleans())
    def branch(self, *, asked: Asked, texts: tuple[str, str], outcomes: tuple[str, str], stays: bool) -> None:
        """A client goes on twice from one place, at the same time."""
        self.read(self.ask(asked), whole=True)
        place = len(self.histories) - 1
        for text, outcome in zip(texts, outcomes, strict=True):
            answer = self.ask(replace(asked, base=len(self.histories) - 1 - place, drop=0, text=text), outcome)
            if not stays:
                self.read(answer)

    @rule(asked=ASKED, outcome=OUTCOME)
    def begin(self, *, asked: Asked, outcome: str) -> None:
        """An answer begins, and takes its time."""
        self.ask(asked, outcome)

    @rule(which=st.integers(0, 9), kept=KEPT, how=st.sampled_from(["whole", "whole", "some", "hang up"]))
    def go_on(self, *, which: int, kept: str, how: str) -> None:
        """An answer comes to its end, or a little further, or its client leaves: it may go on from what it has."""
        if not self.open:
            return
        answer = self.open[which % len(self.open)]
        if how == "hang up":
            answer.events.close()  # type: ignore[attr-defined] # it is a generator
            self.open.remove(answer)
            self.keep(answer, kept)
        else:
            self.read(answer, kept, whole=how == "whole")

    @rule(asked=ASKED, place=st.integers(-3, 9), text=st.sampled_from(["a", "b", "Answer\n1", "Be brief."]))
    def edit(self, *, asked: Asked, place: int, text: str) -> None:
        """A client changes a message of a history, its own or the model's, or puts a system text before it."""
        history = list(self.history(asked.base))
        if history and place >= 0:
            place %= len(history)
            history[place] = Message.of(history[place].role, text)
        elif not history or history[0].role is not Role.SYSTEM:
            history.insert(0, Message.of(Role.SYSTEM, text))
        self.histories.append(tuple(history))
        self.read(self.ask(replace(asked, base=0, drop=0)), whole=True)

    @rule(
        what=st.sampled_from(["settle", "settle", "time", "time", "kill", "lose", "drop", "speak", "begin"]),
        which=st.integers(0, 9),
        seconds=st.sampled_from([1.0, 31.0, LIFE, TTL / 2, TTL + SLACK]),
    )
    def disturb(self, *, what: str, which: int, seconds: float) -> None:
        """What clients have no part in: workers, time, the person."""
        chats = list(self.kimi.chats)
        worker = which % WORKERS
        match what:
            case "settle":
                self.houses[worker].settle()
            case "time":
                self.pass_time(seconds)
            case "kill":
                self.kill(worker)
            case "lose" if chats:
                identity = chats[which % len(chats)]
                del self.kimi.chats[identity]
                self.kimi.deleted.append(identity)
            case "drop":
                for file_id in list(self.kimi.storage.kept)[which % 3 :: 3]:
                    del self.kimi.storage.kept[file_id]
            case "speak" if chats:
                chat = self.kimi.chats[chats[which % len(chats)]]
                if chat.site == "connect" and chat.newest:  # of the legacy site nobody could see it
                    self.kimi.speak_by_hand(chats[which % len(chats)])
            case "begin":
                self.kimi.begin("ann", "connect" if worker else "rest", by_hand=True)
            case _:
                pass

    # --- What always holds ---------------------------------------------------------------------------------

    @invariant()
    def every_context_is_true(self) -> None:
        """The model saw exactly the history of the request."""
        for turn in self.kimi.turns[self.checked :]:
            assert turn.is_true, turn
        self.checked = len(self.kimi.turns)

    @invariant()
    def every_chat_of_ours_is_known(self) -> None:
        """It is in the ledger of its account, with the site that it is at, or it was to be kept."""
        books = {
            (entry.conversation_id, entry.protocol)
            for credential in (ANN, BOB)
            for entry in self.houses[0].ledger.entries(credential.account)
        }
        assert [
            identity
            for identity, chat in self.kimi.chats.items()
            if not (chat.by_hand or chat.kept or (identity, chat.site) in books)
        ] == []

    def teardown(self) -> None:
        """All answers end, time passes, accounts appear: nothing of ours is left, all else is as it was."""
        others = {identity for identity, chat in self.kimi.chats.items() if chat.by_hand or chat.kept}
        for answer in list(self.open):
            self.read(answer, whole=True)
        others |= {identity for identity, chat in self.kimi.chats.items() if chat.kept}
        for seconds in (TTL + SLACK, LIFE + DOUBT, DOUBT):
            self.pass_time(seconds)
            for house in self.houses:
                for credential in (ANN, BOB, ANN_LEGACY):
                    house.cleanup.tidy(credential)
                    house.settle()
        assert set(self.kimi.chats) == others
        assert [self.houses[0].ledger.entries(credential.account) for credential in (ANN, BOB)] == [[], []]

    # --- How it is done ------------------------------------------------------------------------------------

    def history(self, base: int) -> tuple[Message, ...]:
        """A history, the latest first."""
        return self.histories[-1 - base % len(self.histories)]

    def ask(self, asked: Asked, outcome: str = "whole") -> Open:
        """Go on from a history, or from a piece of one: that is a branch, or a regeneration."""
        history = self.history(asked.base)
        history = history[: len(history) - asked.drop]
        if not history or history[-1].role is not Role.USER:
            history = (*history, showing(asked.text, *(picture_of(name) for name in asked.shows)))
        request = replace(ChatRequest("kimi", history), **asked.more)  # type: ignore[arg-type] # fields by their names
        self.kimi.outcomes = [outcome]
        refusal = UpstreamUnavailable("no") if outcome == "not uploaded" else None
        self.kimi.storage.refuse = lambda _: refusal
        house = self.houses[asked.worker]
        answer = Open(house, request, iter(house.gateway.answer(request, asked.accounts, Cancellation())))
        self.open.append(answer)
        self.read(answer)
        self.kimi.outcomes = []
        if outcome.startswith("refused"):
            self.pass_time(2.0)  # as the error asks
        assert all(turn.request is request for turn in self.kimi.turns[self.checked :])
        self.every_context_is_true()
        return answer

    def pass_time(self, seconds: float) -> None:
        """Workers that live go on saying so."""
        self.clock.advance(seconds)
        for house in self.houses:
            house.leases.renew()

    def kill(self, worker: int) -> None:
        """A worker ends without a farewell, and a new one takes its place."""
        house, self.houses[worker] = self.houses[worker], self.worker()
        self.killed += [answer for answer in self.open if answer.house is house]
        self.open = [answer for answer in self.open if answer.house is not house]

    def read(self, answer: Open, kept: str = "{}", *, whole: bool = False) -> None:
        """Let a client read one list of events, or all; at the end it has a history more."""
        with suppress(StopIteration):
            while True:
                events = next(answer.events)
                answer.text += "".join(event.text for event in events if isinstance(event, TextDelta))
                if isinstance(events[-1], Finished | Failed):
                    whole = True
                if not whole and events != [PromptMoved()]:  # that comes before the turn is sent
                    return
        if answer in self.open:
            self.open.remove(answer)
            self.keep(answer, kept)

    def keep(self, answer: Open, kept: str) -> None:
        """A client keeps what it has been answered."""
        if answer.text:
            said = Message.of(Role.ASSISTANT, kept.format(answer.text))
            self.histories.append((*answer.request.messages, said))


class BothProtocols(Threads):
    """Refresh tokens are served by the legacy site, access tokens of the same account by the other."""

    protocol = "rest"


PATIENT = settings(
    max_examples=30,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TestConnect = Threads.TestCase
TestConnect.settings = PATIENT
TestBothProtocols = BothProtocols.TestCase
TestBothProtocols.settings = PATIENT
