"""Whom TLS trusts and as whom it speaks, as the person chose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Trust:
    """`authority` is a file of further certificate authorities; `certificate` and `key` are the
    client's own (mutual TLS), in one file or two."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


SYSTEM = Trust()
