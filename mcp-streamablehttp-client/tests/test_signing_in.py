"""Signing in without a screen, without a person, and without filling the screen with windows."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import time
from pathlib import Path

import pytest
from fastapi import Request
from fastapi.responses import JSONResponse
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey
from mcp_streamablehttp_client.credentials import system_keyring
from mcp_streamablehttp_client.credentials.records import Tokens
from mcp_streamablehttp_client.credentials.store import Store
from mcp_streamablehttp_client.errors import SignInError
from mcp_streamablehttp_client.oauth import windows
from mcp_streamablehttp_client.oauth.device import qr
from mcp_streamablehttp_client.oauth.sign_in import pasted
from starlette.types import Receive, Scope, Send

from .oauth_server import OAuth
from .support import COMMAND, Run, StartBridge

TOKENS = Tokens("https://as.example", "https://rs.example/mcp", "https://as.example/token", "c", "access")


async def test_a_server_that_refuses_every_token_opens_few_windows(oauth: OAuth, bridge: StartBridge) -> None:
    """Five calls opened ten windows; now three an hour, for all bridges of a person together."""
    for number in range(5):
        host = await bridge(oauth.url)
        oauth.lifetime = 0
        answer = await host.handshake()
        assert "error" in answer, number
        oauth.refresh.clear()
        oauth.access.clear()
    assert oauth.count("authorize") == windows.MOST_WINDOWS
    assert "within an hour" in answer["error"]["message"]


async def test_the_login_command_is_not_counted(oauth: OAuth, run: Run, tmp_path: Path) -> None:
    for _ in range(windows.MOST_WINDOWS + 1):
        assert (await run("login", oauth.url)).status == 0


def test_windows_are_forgotten_after_an_hour(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(windows.MOST_WINDOWS):
        windows.spend(store, "https://a.example/mcp")
    with pytest.raises(SignInError):
        windows.spend(store, "https://a.example/mcp")
    windows.spend(store, "https://b.example/mcp")
    store.note("windows", "https://a.example/mcp", json.dumps([time.time() - 3601] * 3))
    windows.spend(store, "https://a.example/mcp")
    store.note("windows", "https://a.example/mcp", "damaged")
    windows.spend(store, "https://a.example/mcp")


async def test_a_client_the_server_forgot_is_registered_again_before_any_window_opens(
    oauth: OAuth, run: Run, tmp_path: Path
) -> None:
    """Such a server shows a page and never redirects: waiting for the browser would be in vain."""
    await run("login", oauth.url)
    oauth.clients.clear()
    assert (await run("login", oauth.url)).status == 0
    assert oauth.count("register") == 2
    assert oauth.count("authorize") == 2


def offer_device_grant(oauth: OAuth, *, pending: int = 0) -> None:
    """The authorization server's side of RFC 8628; the person confirms after `pending` polls."""
    oauth.metadata["device_authorization_endpoint"] = f"{oauth.origin}/device"
    polls = [0]

    async def answer(request: Request) -> JSONResponse:
        form = dict(await request.form())
        oauth.seen.append((request.url.path.strip("/"), form))
        if request.url.path == "/device":
            where = f"{oauth.origin}/enter"
            return JSONResponse(
                {
                    "device_code": "dc",
                    "user_code": "ABCD-\x1b[31mEFGH",
                    "verification_uri": where,
                    "verification_uri_complete": f"{where}?user_code=ABCD-EFGH",
                    "expires_in": 600,
                    "interval": 0,
                }
            )
        polls[0] += 1
        if polls[0] <= pending:
            return JSONResponse({"error": "authorization_pending"}, 400)
        return JSONResponse(oauth.mint({"family": "f", "scope": form.get("scope", "mcp")}))

    class Instead:
        def __init__(self, path: str) -> None:
            self.path = path

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await (await answer(Request(scope, receive)))(scope, receive, send)

    oauth.fault = lambda method, path: Instead(path) if path in ("/device", "/token") else None


async def test_over_ssh_the_device_grant_is_used_by_itself(
    oauth: OAuth, run: Run, environment: dict[str, str]
) -> None:
    offer_device_grant(oauth, pending=1)
    del environment["BROWSER"]
    finished = await run("login", oauth.url, env={"SSH_CONNECTION": "1 2 3 4", "DISPLAY": ":0"})
    assert finished.status == 0, finished.stderr
    assert f"{oauth.origin}/enter" in finished.stderr
    assert "enter the code ABCD-" in finished.stderr
    assert "\x1b" not in finished.stderr
    assert "▀" in finished.stderr or "▄" in finished.stderr
    assert oauth.count("authorize") == 0
    assert "urn:ietf:params:oauth:grant-type:device_code" in oauth.last("register")["grant_types"]
    assert oauth.last("device")["resource"] == oauth.url


def test_a_qr_code_carries_no_escapes() -> None:
    text = qr("https://as.example/device?user_code=ABCD-EFGH")
    assert "\x1b" not in text
    assert len(text.splitlines()) > 10


async def test_the_address_a_browser_ended_at_can_be_pasted() -> None:
    lines = iter(
        [
            "nonsense\n",
            "http://127.0.0.1:1/callback?code=x&state=wrong\n",
            " http://127.0.0.1:1/callback?code=x&state=s \n",
        ]
    )

    async def ask() -> str:
        return next(lines)

    assert await pasted(ask, "s") == {"code": "x", "state": "s"}


async def test_pasting_ends_a_login_on_a_machine_the_browser_cannot_reach(
    oauth: OAuth, environment: dict[str, str]
) -> None:
    import httpx

    del environment["BROWSER"]
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "login", oauth.url,
        stdin=theirs, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=environment | {"SSH_CONNECTION": "1 2 3 4"},
    )  # fmt: skip
    os.close(theirs)
    assert process.stderr is not None
    while b"/authorize?" not in (line := await asyncio.wait_for(process.stderr.readline(), 90)):
        assert line
    answer = httpx.get(line.decode().strip(), trust_env=False, timeout=60)
    os.write(ours, answer.headers["location"].encode() + b"\n")
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    os.close(ours)
    assert process.returncode == 0
    assert out.startswith(b"Signed in")


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(
    "key",
    [RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")],
    ids=["RSA", "EC", "Ed25519"],
)
async def test_a_machine_signs_in_with_its_private_key(
    key: RSAKey | ECKey | OKPKey, oauth: OAuth, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(key.as_pem(private=True))
    forms: list[dict[str, str]] = []

    class Token:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            forms.append({name: str(value) for name, value in (await Request(scope, receive).form()).items()})
            grant = oauth.mint({"family": "m", "scope": "mcp"})
            del grant["refresh_token"]
            await JSONResponse(grant)(scope, receive, send)

    oauth.fault = lambda method, path: Token() if path == "/token" else None
    words = ("--client-credentials", "--client-id", "robot", "--client-key", str(file))
    finished = await run("tools", oauth.url, *words)
    assert finished.status == 0, finished.stderr
    (form,) = forms
    assert (form["grant_type"], form["resource"], form["scope"]) == ("client_credentials", oauth.url, "mcp")
    algorithms = ["RS256", "ES256", "EdDSA"]
    claims = jwt.decode(form["client_assertion"], key, algorithms=algorithms).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("robot", "robot", oauth.origin)
    assert claims["exp"] - claims["iat"] <= 60
    assert oauth.count("authorize") == 0


async def test_a_machine_without_proof_is_refused_before_anything_starts(oauth: OAuth, run: Run) -> None:
    finished = await run("tools", oauth.url, "--client-credentials", "--client-id", "robot")
    assert finished.status == 2
    assert oauth.seen == []


class HangingKeyring:
    """Locked: it waits for a person who does not come."""

    priority = 5
    asked = 0

    def get_password(self, service: str, name: str) -> str | None:
        self.asked += 1
        time.sleep(60)
        return None

    set_password = delete_password = get_password


def test_a_keyring_that_does_not_answer_is_given_up_and_a_file_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import keyring

    backend = HangingKeyring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    monkeypatch.setattr(system_keyring, "PATIENCE_SECONDS", 0.05)
    monkeypatch.delenv("CREDENTIAL_STORAGE_PATH", raising=False)
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_: str(tmp_path))
    store = Store()
    store.save_tokens(TOKENS)
    assert store.tokens(TOKENS.issuer, TOKENS.resource) == TOKENS
    assert store.place_of(TOKENS.issuer, TOKENS.resource) == str(tmp_path)
    assert backend.asked <= 1


async def test_without_a_writable_home_tokens_live_in_memory(
    oauth: OAuth, bridge: StartBridge, environment: dict[str, str], tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    environment["CREDENTIAL_STORAGE_PATH"] = str(blocked / "credentials")
    host = await bridge(oauth.url)
    assert "result" in await host.handshake()
    host.request(1, "tools/list")
    assert "result" in await host.answer(1)
    assert oauth.count("authorize") == 1
