"""A walk, typed line by line in a container."""

from __future__ import annotations

import re
import time
from contextlib import suppress

from tests.newcomer.container import Container
from tests.newcomer.terminal import Terminal, TerminalError
from tests.newcomer.walks import Beside, Typed, Walk

WITHIN = 1500.0
"""Seconds for any one line: on a slow machine an installation is the longest."""
ENDED = (0, 130)
"""The status of what Ctrl-C ended."""


class Walker:
    """Types in a terminal; what failed is kept, and the rest goes on."""

    def __init__(self, container: Container, terminal: Terminal) -> None:
        self._container = container
        self._terminal = terminal
        self.failed: list[str] = []

    def walk(self, walk: Walk) -> None:
        for step in walk:
            began = time.monotonic()
            try:
                problem = self._beside(step) if isinstance(step, Beside) else self._typed(step)
            except (TerminalError, AssertionError) as error:
                problem = str(error)
                with suppress(TerminalError):
                    self._terminal.interrupt()
            shown = step.line if isinstance(step, Typed) else f"({step.line})"
            print(
                f"{'FAILED' if problem else 'ok    '} {time.monotonic() - began:6.1f} s  {shown}", flush=True
            )
            if problem:
                print(problem, flush=True)
                self.failed.append(step.line)

    def _beside(self, step: Beside) -> str:
        if step.root:
            said = self._container.run("sh", "-c", f"{{ {step.line}; }} 2>&1", timeout=WITHIN)
            return "" if step.says in said else said[-2000:]
        status, said = self._terminal.type(step.line, within=WITHIN)
        return "" if status == 0 and step.says in said else f"status {status}:\n{said[-2000:]}"

    def _typed(self, step: Typed) -> str:
        line = step.meant or step.line
        if step.of_page:
            line = self._container.run("newcomer", "page", step.of_page)
        if step.ready or step.healthy:
            said = self._terminal.start(line, step.ready or ".", within=WITHIN)
            if step.healthy:
                self._container.run("newcomer", "healthy", step.healthy)
            status = self._terminal.interrupt()
            wanted: tuple[int, ...] = ENDED
        else:
            status, said = self._terminal.type(line, step.answers, within=WITHIN)
            wanted = step.status
        name, pattern = step.keep
        if name:
            found = re.search(pattern, said, re.MULTILINE)
            if found is None:
                return f"no {pattern!r} in:\n{said[-2000:]}"
            self._terminal.type(f"export {name}='{found[1]}'", within=WITHIN)
        if status not in wanted or step.says not in said:
            return f"status {status}, and not {step.says!r} in:\n{said[-3000:]}"
        return ""
