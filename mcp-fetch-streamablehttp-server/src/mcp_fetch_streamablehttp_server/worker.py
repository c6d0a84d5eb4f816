"""The process that reads bodies (`python -m …worker`), on its standard input and output.

A frame is a length of four bytes and that much JSON, which says how many bytes follow it. What a page can do
here is bounded by the kernel: processor time for each job, memory for the process.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import struct
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

from .reading.document import Document, UnreadableError
from .reading.read import Job, read

MEMORY = 768 * 1024 * 1024
CPU_SECONDS, PLAIN_CPU_SECONDS = 1.4, 0.6
"""Processor time that one body may take, and the second attempt at it; then SIGPROF ends the process, in the
middle of whatever it does."""
SWOLLEN = 300 * 1024
"""Kibibytes of memory after which the process ends itself and leaves the next job to a new one."""


def write_frame(out: BinaryIO, head: dict[str, Any], *parts: bytes) -> None:
    encoded = json.dumps(head | {"parts": [len(part) for part in parts]}).encode()
    out.write(b"".join((struct.pack("!I", len(encoded)), encoded, *parts)))
    out.flush()


def read_frame(source: BinaryIO) -> tuple[dict[str, Any], list[bytes]] | None:
    start = source.read(4)
    if len(start) < 4:
        return None
    head = json.loads(source.read(*struct.unpack("!I", start)))
    return head, [source.read(length) for length in head.pop("parts")]


def answer(body: bytes, job: Job) -> tuple[dict[str, Any], bytes, bytes]:
    try:
        document = read(body, job)
    except UnreadableError as error:
        return {"error": str(error)}, b"", b""
    except (MemoryError, RecursionError):
        return {"error": "The page needs more memory to read than one page is given."}, b"", b""
    return {"document": document.head()}, document.text.encode("utf-8", "replace"), document.image


def document_of(head: dict[str, Any], text: bytes, image: bytes) -> Document:
    """What `answer` sent. Raises UnreadableError."""
    if "error" in head:
        raise UnreadableError(head["error"])
    return Document.of(head["document"], text.decode(), image)


def main() -> None:
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, out = sys.stdin.buffer, sys.stdout.buffer
    while (frame := read_frame(source)) is not None:
        head, (body,) = frame
        job = Job(**head)
        signal.setitimer(signal.ITIMER_PROF, PLAIN_CPU_SECONDS if job.plain else CPU_SECONDS)
        write_frame(out, *answer(body, job))
        signal.setitimer(signal.ITIMER_PROF, 0)
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > SWOLLEN:
            return


def job_head(job: Job) -> dict[str, Any]:
    return asdict(job)


if __name__ == "__main__":
    main()
