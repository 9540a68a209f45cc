"""A buffer that counts the bytes which its user touches: cost without a clock."""

from __future__ import annotations

from typing import Any


class CountingBuffer(bytearray):
    """A bytearray that counts bytes added, searched, copied out and removed."""

    work = 0

    def __iadd__(self, data: Any) -> CountingBuffer:  # type: ignore[misc] # noqa: ANN401, PYI034
        self.work += len(data)
        super().__iadd__(data)
        return self

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401
        found = super().__getitem__(key)
        self.work += len(found) if isinstance(found, bytearray) else 1
        return found

    def find(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:  # noqa: ANN401
        self.work += len(self) - start
        return super().find(sub, start, end)

    def rfind(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:  # noqa: ANN401
        self.work += len(self) - start
        return super().rfind(sub, start, end)
