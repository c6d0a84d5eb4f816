"""What was found at a hop, printed: its state, what was seen, and below it the rule and the cure."""

from __future__ import annotations

from ._common.hop import Verdict
from .terminal import bold, one_line, say

_MARKS = {"well": "ok", "warning": "!", "wrong": "WRONG", "unseen": "-"}


def show(verdict: Verdict, width: int = 17) -> None:
    """`width` is the column of the hops' names, in characters."""
    say(f"{_MARKS[verdict.state]:>5}  ", bold(f"{verdict.hop:<{width}}"), f" {one_line(verdict.what)}")
    for name in ("said", "rule", "cure"):
        if text := getattr(verdict, name):
            label = "it says" if name == "said" else name
            say(f"{'':>{width + 8}}{label}: {one_line(text)}")
