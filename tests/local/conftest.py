"""Local runs get access to their servers as any client does."""

from __future__ import annotations

from tests.e2e.conftest import obtain as obtain
