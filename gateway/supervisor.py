"""Nothing is left behind, however a local run ends: Ctrl-C, SIGTERM, a closed terminal, SIGKILL.

Two processes guard each other. The outer one, which the person started, adopts whatever the gateway's
processes leave without a parent (PR_SET_CHILD_SUBREAPER), even in sessions of their own, and ends it when the
inner one is gone. The inner one is the gateway; it sees by the end of a pipe that the outer one is gone, and
stops. Services are told by the kernel when the gateway's main thread ends (PR_SET_PDEATHSIG), for the case
that both are killed at once.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
LOOK = 1.0
"""Seconds between looks whether who started the run is still there."""
AGAIN = 75
"""Status of a gateway that asks to be started anew (EX_TEMPFAIL)."""
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WATCHED = {*ENDINGS, signal.SIGUSR1, signal.SIGCHLD}
_SUBREAPER = 36

DIES_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execvp(sys.argv[2], sys.argv[2:])"
)
"""For `python -c`: get SIGTERM when the parent's thread ends, and become the program. The parent is named, as
it may have ended before."""


def dying_with_this_process(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, ended with the process whose main thread starts it; as it is where there is no prctl."""
    if sys.platform != "linux":
        return command
    return (sys.executable, "-I", "-S", "-c", DIES_WITH_PARENT, str(os.getpid()), *command)


def supervise(work: Callable[[int], int], *, outlives_starter: bool = False) -> int:
    """Run `work` in a process of its own; its status, once none of its descendants is left.

    `work` gets a descriptor that is at its end when this process is gone. There must be no threads yet.
    The end of the process that started this one ends it too, unless it `outlives_starter`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    theirs, ours = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    gateway = os.fork()
    if gateway == 0:
        os.close(ours)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        status = 1
        try:
            status = work(theirs)
        except Exception:
            traceback.print_exc()  # a fault of ours; the supervisor goes on, and cleans up
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(theirs)
    status = _wait(gateway, None if outlives_starter else os.getppid())
    _end_descendants()
    os.close(ours)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
    return status


def _wait(gateway: int, started_by: int | None) -> int:
    """The gateway's status, 128 and the signal if one ended it. Passes on what asks for its end."""
    while True:
        seen = signal.sigtimedwait(WATCHED, LOOK)
        status = _reaped(gateway)
        if status is not None:
            return status
        orphaned = started_by is not None and os.getppid() != started_by
        passed_on = seen.si_signo if seen is not None else 0
        if orphaned or passed_on in ENDINGS:
            passed_on = signal.SIGTERM
        if passed_on in (signal.SIGTERM, signal.SIGUSR1):
            with suppress(ProcessLookupError):
                os.kill(gateway, passed_on)


def _reaped(gateway: int) -> int | None:
    """Reap what has ended; the gateway's status if it is among that."""
    status = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == gateway:
                code = os.waitstatus_to_exitcode(ended[1])
                status = code if code >= 0 else 128 - code
    return status


def _end_descendants() -> None:
    """SIGTERM, and after GRACE seconds SIGKILL, until no process is left that anybody left to this one."""
    deadline = time.monotonic() + GRACE
    asked: set[int] = set()
    while children := _children():
        for pid in children:
            number = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
            if number == signal.SIGKILL or pid not in asked:
                asked.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        signal.sigtimedwait({signal.SIGCHLD}, 0.1)
        _reaped(0)


def _children() -> list[int]:
    """The processes whose parent this one is now; none where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.append(int(entry.parent.name))
    return found
