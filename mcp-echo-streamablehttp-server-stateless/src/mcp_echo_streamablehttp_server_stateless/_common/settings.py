"""Words that settings are written in, read alike by every service."""

from __future__ import annotations


class SettingsError(ValueError):
    """A setting is missing, malformed, or contradicts another; one line that names it and its cure."""


def comma_list(text: str) -> list[str]:
    """Entries between commas; white space around them and empty ones do not count."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]
