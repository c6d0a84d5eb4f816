"""Opening the person's browser: http(s) only, never through a shell, never in the way."""

import os
import sys
import threading
import webbrowser
from urllib.parse import urlsplit


def show(url: str) -> None:
    """Print the address to stderr and open it in the browser, if there is one.

    BROWSER is respected, as `webbrowser` does. Without it, text browsers are not started: they
    would fight over the terminal.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("only http and https addresses are opened")
    print(f"To sign in, open this address in your browser:\n  {url}", file=sys.stderr, flush=True)
    threading.Thread(target=_open, args=(url,), name="browser", daemon=True).start()


def _open(url: str) -> None:
    try:
        browser = webbrowser.get()
        waits = type(browser) is webbrowser.GenericBrowser
        if os.environ.get("BROWSER") or not waits:
            browser.open(url)
    except (webbrowser.Error, OSError):
        pass  # the printed address remains
