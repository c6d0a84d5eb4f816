"""What holds for every test of the repository."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):  # a package that has no property tests is tested without it, too
    from hypothesis import settings

    # The same examples on every machine, and none fails because the machine is busy.
    settings.load_profile("ci")
