"""A shell on a pseudo-terminal, as somebody sits at one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

PROMPT = re.compile(r"<<(\d+)>> $")
"""What `PS1` below becomes: the status of the line before."""
PS1 = "<<$?>> "
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|.)")
CONTROL_C = b"\x03"
ROWS, COLUMNS = 50, 240


class TerminalError(Exception):
    """The shell did not come to what was waited for; the message ends with what it said."""


class Terminal:
    """`command` starts a bash whose PS1 is the one above; what is exported stays for the lines after."""

    def __init__(self, command: Sequence[str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self._said = ""

    def __enter__(self) -> Self:
        self._until(PROMPT, 180)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._master)  # the terminal is closed: SIGHUP
        self._process.terminate()
        self._process.wait()

    def start(self, line: str, ready: str, *, within: float) -> str:
        """Type a line that stays in the foreground; what it said until it is ready."""
        self._send(line)
        self._until(re.compile(rf"{ready}|{PROMPT.pattern}"), within)
        if PROMPT.search(self._said):
            raise TerminalError(f"{line}: ended, and was not ready:\n{self._said[-3000:]}")
        return self._said

    def interrupt(self, *, within: float = 180) -> int:
        """Press Ctrl-C; the status of the line that ends."""
        self._said = ""
        os.write(self._master, CONTROL_C)
        return int(self._until(PROMPT, within)[1])

    def type(self, line: str, answers: Iterable[tuple[str, str]] = (), *, within: float) -> tuple[int, str]:
        """One line, with an answer to each question it asks: its status, and what it said."""
        self._send(line)
        for question, answer in answers:
            self._until(re.compile(rf"{question}|{PROMPT.pattern}"), within)
            if PROMPT.search(self._said):
                raise TerminalError(f"{line}: asked no {question!r}:\n{self._said[-3000:]}")
            self._send(answer, keep=True)
        status = int(self._until(PROMPT, within)[1])
        return status, PROMPT.sub("", self._said)

    def _send(self, line: str, *, keep: bool = False) -> None:
        self._said = self._said.rpartition("\n")[0] + "\n" if keep else ""
        os.write(self._master, line.encode() + b"\n")

    def _until(self, wanted: re.Pattern[str], within: float) -> re.Match[str]:
        deadline = time.monotonic() + within
        while (found := wanted.search(self._said)) is None:
            if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TerminalError(f"no {wanted.pattern!r} within {within:.0f} s:\n{self._said[-3000:]}")
            try:
                read = os.read(self._master, 65536)
            except OSError:  # EIO: the other side is closed
                read = b""
            if not read:
                raise TerminalError(f"the shell ended:\n{self._said[-3000:]}")
            self._said += ESCAPES.sub("", read.decode(errors="replace")).replace("\r\n", "\n")
        return found
