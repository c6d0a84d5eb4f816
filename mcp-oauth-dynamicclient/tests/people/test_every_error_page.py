"""Every error page there is: it names the client as far as it is known, says what to do next, and its
reference leads to one line of the log. What is not walked to, or was written since, is found in the code.

`ERROR_PAGES=FOLDER` keeps the pages; tests/e2e/test_look.py has a browser look at them.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from mcp_oauth_dynamicclient import errors as error_tree
from mcp_oauth_dynamicclient import pages
from mcp_oauth_dynamicclient.pages import errors as error_pages

from ..support import Clock
from .error_examples import NAME, NAMES_NOBODY, NOT_RECORDED, Walk, Walks
from .support import GitHub, OpenPlace, Place

SOURCE = Path(pages.__file__).parents[1]
MAKERS = {"refuse", "refuse_error", "no_cookie", "not_found", "not_opened"}
RAISES = ("authorize/consent.py", "authorize/sign_in.py", "endpoints/account.py", "endpoints/device_page.py")
"""Whose own faults become pages by themselves; those of the checks before them are walked by hand."""
FAULTS = {name for name in vars(error_tree) if name.endswith("Error")}
Site = tuple[str, int]
"""A file, and the line on which the call or the raise that leads to a page begins."""


def sites() -> Iterator[tuple[Site, int]]:
    """What leads to an error page, with its last line."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith("_common/") or name == "pages/errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            makes = isinstance(node, ast.Call) and (
                (isinstance(node.func, ast.Attribute) and node.func.attr in MAKERS and _of_pages(node.func))
                or (isinstance(node.func, ast.Name) and node.func.id in MAKERS)
            )
            raised = isinstance(node, ast.Raise) and name in RAISES and isinstance(node.exc, ast.Call)
            if isinstance(node, ast.expr | ast.stmt) and (makes or (raised and _class(node) in FAULTS)):
                yield (name, node.lineno), node.end_lineno or node.lineno


def _of_pages(function: ast.Attribute) -> bool:
    return isinstance(function.value, ast.Name) and function.value.id == "pages"


def _class(node: ast.AST) -> str:
    assert isinstance(node, ast.Raise)
    call = node.exc
    assert isinstance(call, ast.Call)
    return call.func.id if isinstance(call.func, ast.Name) else ""


class Seen:
    """The lines of this package that led to the error pages that were made."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.lines: set[Site] = set()
        render = vars(error_pages)["render"]

        def noting(*given: Any, **values: Any) -> Any:
            caller: FrameType | None = sys._getframe(1)
            raised = caller.f_locals.get("refusal") if caller is not None else None
            trace = getattr(getattr(raised, "error", None), "__traceback__", None)
            while trace is not None:
                self._note(trace.tb_frame, trace.tb_lineno)
                trace = trace.tb_next
            while caller is not None:
                self._note(caller, caller.f_lineno)
                caller = caller.f_back
            return render(*given, **values)

        patch.setattr(error_pages, "render", noting)

    def _note(self, frame: FrameType, line: int) -> None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(SOURCE):
            self.lines.add((path.relative_to(SOURCE).as_posix(), line))


def walks() -> dict[str, Walk]:
    return {name: walk for name, walk in vars(Walks).items() if not name.startswith("_") and name != "broken"}


async def test_every_error_page_says_who_what_next_and_where_in_the_log(
    place: Place, github_place: Place, github: GitHub, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, wrong = Seen(monkeypatch), []
    walker = Walks(place, github_place, github, clock, monkeypatch)
    logged = place.ctx.settings.audit_log
    for name, walk in walks().items():
        page = await walk(walker)
        wrong += [f"{name}: {fault}" for fault in faults(page.text, walk, Path(logged).read_text())]
        assert page.status_code >= 400, (name, page.status_code, page.headers)
        if "ERROR_PAGES" in os.environ:
            (Path(os.environ["ERROR_PAGES"]) / f"{name}.html").write_text(page.text)
    assert wrong == []
    forgotten = [
        f"{file}:{first}"
        for (file, first), last in sites()
        if not any((file, line) in seen.lines for line in range(first, last + 1))
    ]
    assert forgotten == [], "these lead to pages that nobody has looked at: walk there in error_examples.py"


def faults(page: str, walk: Walk, log: str) -> Iterator[str]:
    if page.count("<h1>") != 1:
        yield "it has no heading"
    if not re.search(r'<p class="hint">[^<]{20,}</p>|<div class="actions"><a class="button', page):
        yield "it does not say what to do next"
    known, claimed = (
        rf"Client: <strong>({NAME}|client_[\w-]+)<",
        r"nobody has checked it: <code>client_[\w-]+…?<",
    )
    named = f"{known}|{claimed}"
    if walk not in NAMES_NOBODY and not re.search(named, page):
        yield "it does not name the client"
    reference = re.search(r"Reference: <code>([0-9a-f]{8})</code>", page)
    if walk not in NOT_RECORDED:
        lines = [json.loads(line) for line in log.splitlines()]
        found = [one for one in lines if reference and one.get("reference") == reference[1]]
        if len(found) != 1 or not found[0]["reason"]:
            yield "its reference is not one line of the log"


async def test_every_error_says_what_to_do_next(open_place: OpenPlace) -> None:
    place = await open_place()
    for name in sorted(FAULTS - {"OAuth2Error", "SettingsError", "AuthlibError"}):
        kind = getattr(error_tree, name)
        error = kind("A sentence.", 5) if name == "TooManyRequestsError" else kind("A sentence.")
        page = bytes(pages.refuse_error(place.ctx, "authorize", error).body).decode()
        assert re.search(r'<p class="hint">[^<]{20,}</p>', page), name
