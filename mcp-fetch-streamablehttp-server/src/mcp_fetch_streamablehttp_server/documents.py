"""What was read before, kept for its next part: one body is converted once, however it is paged through."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from .reading.document import Document
from .reading.read import Job
from .workers import Workers


class Documents:
    """Holds about `limit` bytes."""

    def __init__(self, workers: Workers, limit: int) -> None:
        self.workers = workers
        self.limit = limit
        self.bytes = 0
        self._kept: OrderedDict[tuple[bytes, Job], Document] = OrderedDict()

    async def read(self, body: bytes, job: Job, caller: str) -> Document:
        """Raises FetchError."""
        key = (hashlib.sha256(body).digest(), job)
        document = self._kept.get(key)
        if document is None:
            document = await self.workers.read(body, job, caller)
            self._keep(key, document)
        else:
            self._kept.move_to_end(key)
        return document

    def _keep(self, key: tuple[bytes, Job], document: Document) -> None:
        if key in self._kept or size(document) > self.limit // 4:
            return
        self._kept[key] = document
        self.bytes += size(document)
        while self.bytes > self.limit:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= size(dropped)

    async def aclose(self) -> None:
        await self.workers.aclose()


def size(document: Document) -> int:
    """Bytes of memory, roughly: a character may take four."""
    links = sum(len(target) + len(label) for target, label in document.links)
    return 4 * (len(document.text) + links) + len(document.image) + 1000
