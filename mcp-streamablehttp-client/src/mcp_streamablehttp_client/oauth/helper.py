"""A sign-in that outlives the host: in a process of its own, which owns listener, lock and browser.

Hosts end their servers when they are closed or lose patience, and people sign in slowly. The helper
is in a session of its own and holds none of the bridge's pipes; its settings come through a pipe of
its own, so that nothing secret is in its arguments. It is gone after ten minutes. What it got is in
the store: a bridge that still waits takes it from there, and so does the next one.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..credentials.store import Store
from ..errors import ClientError, NotNowError, SignInError
from ..settings import Settings
from ..terminal import say
from ..trust import Trust
from .authorizer import Authorizer
from .discovery import AuthorizationServer, Discovery

log = logging.getLogger(__name__)

LIFE_SECONDS = 600.0
LOOK_SECONDS = 0.1
"""How often the bridge looks for what the helper has to say."""
WEATHER_PAUSES = (5.0, 10.0, 20.0)
_WAITS, _FAILED = "sign-in-waits", "sign-in-failed"


async def sign_in(
    settings: Settings,
    store: Store,
    token: str | None,
    discovery: Discovery,
    wanted: tuple[str, ...],
    by_person: bool,
    tell: Callable[[str | None], None],
) -> None:
    """Start a helper and wait for it; afterwards the tokens are in the store. Raises SignInError
    with its words, and OSError when no process can be started."""
    url = settings.server_url
    store.forget(_FAILED, url)
    store.note(_WAITS, url, "")
    if store.in_memory:
        raise OSError(errno.EROFS, "nothing can be written for another process to read")
    work = {
        "settings": _written(settings),
        "token": token,
        "discovery": asdict(discovery),
        "wanted": wanted,
        "by_person": by_person,
        "directory": str(store.directory_if_named) if store.directory_if_named else None,
    }
    process = await asyncio.to_thread(_start, json.dumps(work))
    told: str | None = None
    try:
        while process.poll() is None:
            if (address := store.noted(_WAITS, url) or None) != told:
                told = address
                tell(address)
                if address is not None:
                    say(f"To sign in, open this address in your browser:\n  {address}", err=True)
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        if told is not None:
            tell(None)
    if problem := store.noted(_FAILED, url):
        passing, _, text = problem.partition(" ")
        raise NotNowError(text) if passing == "passing" else SignInError(text)


def _start(work: str) -> subprocess.Popen[bytes]:
    alone: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        alone = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **alone,
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(work.encode())
    return process


def _written(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if isinstance(value, Trust):
            value = [str(path) if path else None for path in (value.authority, value.certificate, value.key)]
        found[field.name] = str(value) if isinstance(value, Path) else value
    return found


def _read(found: dict[str, Any]) -> Settings:
    paths = [Path(path) if path else None for path in found.pop("trust")]
    key = found.pop("client_key")
    headers = tuple((name, value) for name, value in found.pop("headers"))
    return Settings(**found, headers=headers, client_key=Path(key) if key else None, trust=Trust(*paths))


def _discovered(found: dict[str, Any]) -> Discovery:
    server = found.pop("server")
    for members in (server, found):
        members.update({name: tuple(value) for name, value in members.items() if isinstance(value, list)})
    return Discovery(**found, server=AuthorizationServer(**server))


async def _work(work: dict[str, Any]) -> None:
    settings = _read(work["settings"])
    store = Store(Path(work["directory"]) if work["directory"] else None)
    url = settings.server_url
    authorizer = Authorizer(settings, store)
    authorizer.on_wait = lambda address: store.note(_WAITS, url, address or "")
    if work["by_person"]:
        authorizer.forgive()
    discovery, wanted = _discovered(work["discovery"]), tuple(work["wanted"])
    try:
        async with asyncio.timeout(LIFE_SECONDS):
            await _patiently(lambda: authorizer.sign_in_for(work["token"], discovery, wanted))
    except NotNowError as weather:
        store.note(_FAILED, url, f"passing {weather}")
    except (ClientError, TimeoutError) as problem:
        store.note(_FAILED, url, f"for-good {problem or 'Nobody finished the sign-in in the browser.'}")


async def _patiently(sign_in: Callable[[], Awaitable[object]]) -> None:
    """Through weather: a code that could not be exchanged is kept between two attempts."""
    for pause in (*WEATHER_PAUSES, None):
        try:
            await sign_in()
            return
        except NotNowError:
            if pause is None:
                raise
        await asyncio.sleep(pause)


if __name__ == "__main__":
    asyncio.run(_work(json.load(sys.stdin)))
