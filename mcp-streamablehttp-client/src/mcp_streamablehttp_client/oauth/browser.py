"""Opening the person's browser: http(s) only, never through a shell, never in the way."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from urllib.parse import urlsplit

from ..terminal import say


def show(url: str) -> None:
    """Print the address to stderr and open it in the browser, if there is one.

    BROWSER is respected, as `webbrowser` does. Without it, text browsers are not started: they
    would fight over the terminal.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("only http and https addresses are opened")
    say(f"To sign in, open this address in your browser:\n  {url}", err=True)
    threading.Thread(target=_open, args=(url,), name="browser", daemon=True).start()


def can_open() -> bool:
    """Whether the person is likely to see a window of this machine."""
    if os.environ.get("BROWSER"):
        return True
    if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"):
        return False
    if sys.platform in ("win32", "darwin") or os.environ.get("WSL_DISTRO_NAME"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(url: str) -> None:
    try:
        browser = webbrowser.get()
        waits = type(browser) is webbrowser.GenericBrowser
        if os.environ.get("BROWSER") or not waits:
            browser.open(url)
    except (webbrowser.Error, OSError):
        pass  # the printed address remains
