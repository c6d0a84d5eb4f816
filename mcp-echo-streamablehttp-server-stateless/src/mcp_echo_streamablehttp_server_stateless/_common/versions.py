"""The protocol versions, by era: the handshake versions open a session, the modern one stands alone."""

from __future__ import annotations

from typing import Literal

Era = Literal["handshake", "modern"]

MODERN_VERSION = "2026-07-28"
HANDSHAKE_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
LATEST_HANDSHAKE_VERSION = HANDSHAKE_VERSIONS[0]
