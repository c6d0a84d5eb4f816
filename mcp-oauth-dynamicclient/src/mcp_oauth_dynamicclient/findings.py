"""What is wrong with a local run, by its doctor, for whoever sits at that machine. The run writes it into a
file (FINDINGS_FILE); nothing is looked at for a visitor."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from fastapi import Request

from ._common.hop import Verdict
from .context import Context
from .visible import is_owner

log = logging.getLogger(__name__)

LARGEST = 2**16
"""Bytes of the file."""
MOST = 20
"""Verdicts that a page shows."""


def found(ctx: Context, request: Request) -> list[Verdict]:
    """What is wrong, or worth a look; nothing for anybody who is not at the machine of a local run."""
    file = ctx.settings.findings_file
    if file is None or not is_owner(ctx, request):
        return []
    try:
        return read(file)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("the doctor's findings cannot be read: %s: %s", type(error).__name__, error)
        return []


def read(file: Path) -> list[Verdict]:
    """Raises OSError, ValueError, KeyError, TypeError or RecursionError."""
    with file.open("rb") as content:
        verdicts = [Verdict(**hop) for hop in json.loads(content.read(LARGEST))["hops"]]
    return [verdict for verdict in verdicts if verdict.state in ("wrong", "warning")][:MOST]
