"""The servers that docs/check-identity.md shows, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from gateway.node import NODE, installed
from tests.conftest import ROOT, free_port
from tests.signer import ISSUER, OWN, Signer, signing

PAGE = (ROOT / "docs" / "check-identity.md").read_text()
EXPRESS, JOSE = "5.3.0", "jose@6.2.18"
NAME = "notes"


def shown(language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(code)


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    with signing() as made:
        yield made


@pytest.fixture(scope="module", params=["python", "js"])
def server(
    request: pytest.FixtureRequest, signer: Signer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp(request.param)
    port = str(free_port())
    if request.param == "python":
        (folder / "shown.py").write_text(shown("python"))
        command = [sys.executable, "-m", "uvicorn", "shown:app", "--port", port, "--log-level", "warning"]
    else:
        modules = installed("express", EXPRESS, JOSE).parent
        (folder / "shown.mjs").write_text(shown("js"))
        (folder / "node_modules").symlink_to(modules)
        command = [str(NODE), "--preserve-symlinks", "shown.mjs"]
    environment = {
        "PATH": os.environ["PATH"], "PORT": port, "ISSUER": ISSUER,
        "MCP_PUBLIC_URL": OWN.format(name=NAME), "MCP_IDENTITY_URL": signer.url,
    }  # fmt: skip
    process = subprocess.Popen(command, cwd=folder, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None
            try:
                assert httpx.get(f"{url}/health", trust_env=False, timeout=60).json() == {"status": "healthy"}
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


def ask(server: str, statement: str | None) -> httpx.Response:
    headers = {"x-gateway-identity": statement} if statement else {}
    return httpx.post(f"{server}/mcp", headers=headers, trust_env=False, timeout=60)


def test_the_gateways_word_is_taken(server: str, signer: Signer) -> None:
    answer = ask(server, signer.sign(NAME))
    assert (answer.status_code, answer.json()) == (200, {"hello": "local:ada"})


NOT_TAKEN: dict[str, Callable[[Signer], str | None]] = {
    "none": lambda signer: None,
    "another server's": lambda signer: signer.sign("neighbour"),
    "an expired one": lambda signer: signer.sign(
        NAME, iat=int(time.time()) - 400, exp=int(time.time()) - 100
    ),
    "an access token": lambda signer: signer.sign(NAME, header={"typ": "at+jwt"}),
    "another issuer's": lambda signer: signer.sign(NAME, iss="https://auth.evil.example"),
    "signed by somebody else": lambda signer: Signer().sign(NAME),
}


@pytest.mark.parametrize("case", NOT_TAKEN)
def test_nothing_else_is(server: str, signer: Signer, case: str) -> None:
    assert ask(server, NOT_TAKEN[case](signer)).status_code == 403
