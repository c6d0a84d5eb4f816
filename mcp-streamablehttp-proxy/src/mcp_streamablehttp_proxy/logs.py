"""Structured logs on stderr: one JSON object per line, or key=value for people."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import Full, Queue
from typing import Literal

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}

_WAITING = 10_000
"""Records that may wait to be written; more are dropped."""


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _PLAIN and value != ""}


class JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {key}={json.dumps(value, default=str)}" for key, value in _fields(record).items())
        text = f"{time} {record.levelname.lower():7} {record.getMessage()}{fields}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def configure(level: str, form: Literal["text", "json"], file: str | None = None) -> None:
    """Send all logs to stderr, and to `file` as well if given (its directory is made)."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(file))
    formatter = JSONFormatter() if form == "json" else TextFormatter()
    for handler in handlers:
        handler.setFormatter(formatter)
    queue: Queue[logging.LogRecord] = Queue(_WAITING)
    listener = QueueListener(queue, *handlers)
    listener.start()
    atexit.register(listener.stop)
    logging.basicConfig(level=level.upper(), handlers=[_Enqueue(queue)], force=True)
    hush()


def hush() -> None:
    """Keep what libraries say of their requests out of the log: whole addresses and headers hold secrets."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


class _Enqueue(QueueHandler):
    """Hands records to the thread that writes them: a log nobody reads must not stop the relay."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Full):
            self.queue.put_nowait(record)
