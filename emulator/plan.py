"""Which answer comes next."""

from collections import deque
from dataclasses import dataclass

from emulator.answers import Answer


@dataclass
class Queue:
    """Answers in order; with `repeat` one that was taken goes to the back instead of away."""

    answers: deque[Answer]
    repeat: bool = False

    def take(self) -> Answer | None:
        """Give the next answer, or None when no more are left."""
        if not self.answers:
            return None
        answer = self.answers.popleft()
        if self.repeat:
            self.answers.append(answer)
        return answer


class Plan:
    """One queue for each account that has its own, and one for everybody else."""

    def __init__(self) -> None:
        self._queues: dict[str | None, Queue] = {}

    def set(self, account: str | None, answers: tuple[Answer, ...], *, repeat: bool) -> None:
        """Replace the queue of an account, or with None the one for all; leftovers are dropped."""
        self._queues[account] = Queue(deque(answers), repeat)

    def take(self, account: str) -> Answer | None:
        """Give the answer for one completion; an account's own queue comes before the other."""
        for name in (account, None):
            queue = self._queues.get(name)
            answer = queue.take() if queue else None
            if answer is not None:
                return answer
        return None

    def clear(self) -> None:
        """Drop every queue, so that the default answer is given again."""
        self._queues.clear()
