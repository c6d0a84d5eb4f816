"""Signing in and staying signed in, against a real authorization server on loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from .oauth_server import OAuth
from .support import Json, Run, StartBridge


def stored(environment: dict[str, str], kind: str) -> tuple[Path, Json]:
    (path,) = Path(environment["CREDENTIAL_STORAGE_PATH"]).glob(f"{kind}-*.json")
    return path, json.loads(path.read_text())


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def change_tokens(environment: dict[str, str], **members: Any) -> None:
    path, tokens = stored(environment, "tokens")
    path.write_text(json.dumps(tokens | members))


async def test_login_discovers_registers_and_asks_with_pkce_resource_and_scope(
    oauth: OAuth, run: Run, environment: dict[str, str]
) -> None:
    finished = await run("login", oauth.url)
    assert finished.status == 0
    assert f"Signed in to {oauth.url} at {oauth.origin} with the scope mcp." in finished.stdout
    registration = oauth.last("register")
    assert registration["application_type"] == "native"
    assert registration["grant_types"] == ["authorization_code", "refresh_token"]
    assert registration["token_endpoint_auth_method"] == "none"
    (redirect,) = registration["redirect_uris"]
    assert redirect.startswith("http://127.0.0.1:")
    asked = oauth.last("authorize")
    assert (asked["resource"], asked["scope"]) == (oauth.url, "mcp")
    assert (asked["code_challenge_method"], asked["redirect_uri"]) == ("S256", redirect)
    assert oauth.last("token")["resource"] == oauth.url
    path, tokens = stored(environment, "tokens")
    assert (tokens["issuer"], tokens["resource"]) == (oauth.origin, oauth.url)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_the_address_is_printed_to_stderr_for_a_machine_without_browser(
    oauth: OAuth, run: Run, environment: dict[str, str]
) -> None:
    finished = await run("login", oauth.url)
    assert f"{oauth.origin}/authorize?" in finished.stderr
    assert f"{oauth.origin}/authorize?" not in finished.stdout


async def test_a_bridge_without_tokens_signs_in_by_browser_and_the_next_one_does_not(
    oauth: OAuth, bridge: StartBridge
) -> None:
    for _ in range(2):
        host = await bridge(oauth.url)
        assert "result" in await host.handshake()
        host.request(1, "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
        assert (await host.answer(1))["result"]["structuredContent"] == {"result": 3}
        await host.close()
    assert oauth.count("authorize") == 1


async def test_two_bridges_started_together_open_one_browser_window(
    oauth: OAuth, bridge: StartBridge
) -> None:
    hosts = [await bridge(oauth.url), await bridge(oauth.url)]
    answers = await asyncio.gather(*(host.handshake() for host in hosts))
    assert all("result" in answer for answer in answers)
    assert oauth.count("authorize") == 1


async def test_an_ending_token_is_renewed_before_the_server_refuses_it(
    oauth: OAuth, run: Run, environment: dict[str, str], bridge: StartBridge
) -> None:
    await run("login", oauth.url)
    change_tokens(environment, issued_at=time.time() - 3600, expires_at=time.time() + 5)
    _, before = stored(environment, "tokens")
    host = await bridge(oauth.url)
    assert "result" in await host.handshake()
    _, after = stored(environment, "tokens")
    assert oauth.last("token")["refresh_token"] == before["refresh_token"]
    assert oauth.last("token")["resource"] == oauth.url
    assert after["refresh_token"] != before["refresh_token"]


async def test_a_refused_token_is_renewed_without_the_browser(
    oauth: OAuth, run: Run, bridge: StartBridge, environment: dict[str, str]
) -> None:
    await run("login", oauth.url)
    _, tokens = stored(environment, "tokens")
    del oauth.access[tokens["access_token"]]
    host = await bridge(oauth.url)
    assert "result" in await host.handshake()
    assert oauth.count("authorize") == 1


async def test_many_requests_on_a_refused_token_lead_to_one_refresh(
    oauth: OAuth, bridge: StartBridge, environment: dict[str, str]
) -> None:
    host = await bridge(oauth.url)
    await host.handshake()
    _, tokens = stored(environment, "tokens")
    oauth.access.pop(tokens["access_token"])
    oauth.refresh_delay = 0.2
    for identifier in range(10):
        host.request(identifier, "tools/call", {"name": "add", "arguments": {"a": 1, "b": identifier}})
    answers = [await host.message() for _ in range(10)]
    assert all("result" in answer for answer in answers)
    assert oauth.count("token") == 2


async def test_ten_bridges_with_an_expired_token_make_one_refresh(
    oauth: OAuth, run: Run, bridge: StartBridge, environment: dict[str, str]
) -> None:
    """The server revokes the whole family on reuse, so a race would end in a new sign-in."""
    await run("login", oauth.url)
    oauth.refresh_delay = 0.5
    change_tokens(environment, issued_at=0, expires_at=time.time() - 1)
    hosts = [await bridge(oauth.url) for _ in range(10)]
    answers = await asyncio.gather(*(host.handshake() for host in hosts))
    assert all("result" in answer for answer in answers)
    assert oauth.count("token") == 2
    assert oauth.count("authorize") == 1


async def test_a_dead_refresh_token_leads_to_a_new_sign_in(
    oauth: OAuth, run: Run, bridge: StartBridge, environment: dict[str, str]
) -> None:
    await run("login", oauth.url)
    oauth.access.clear()
    oauth.refresh.clear()
    host = await bridge(oauth.url)
    assert "result" in await host.handshake()
    assert oauth.count("authorize") == 2
    assert oauth.count("register") == 1


async def test_a_forgotten_client_is_registered_again(
    oauth: OAuth, run: Run, bridge: StartBridge, environment: dict[str, str]
) -> None:
    await run("login", oauth.url)
    oauth.access.clear()
    oauth.clients["client-1"] = {"redirect_uris": []}
    del oauth.clients["client-1"]
    oauth.clients["other"] = {"redirect_uris": []}
    host = await bridge(oauth.url)
    assert "result" in await host.handshake()
    assert oauth.count("register") == 2


async def test_an_unreachable_token_endpoint_keeps_the_tokens(
    oauth: OAuth, run: Run, bridge: StartBridge, environment: dict[str, str]
) -> None:
    await run("login", oauth.url)
    change_tokens(environment, expires_at=1, token_endpoint="http://127.0.0.1:1/token")
    host = await bridge(oauth.url)
    assert "cannot be reached" in (await host.handshake())["error"]["message"]
    assert stored(environment, "tokens")[1]["refresh_token"]
    assert oauth.count("authorize") == 1


async def test_step_up_asks_for_the_union_of_scopes_once(
    oauth: OAuth, bridge: StartBridge, environment: dict[str, str]
) -> None:
    oauth.tool_scope = "mcp:write"
    host = await bridge(oauth.url)
    await host.handshake()
    host.request(1, "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    assert (await host.answer(1))["result"]["structuredContent"] == {"result": 3}
    assert oauth.last("authorize")["scope"] == "mcp mcp:write"
    assert oauth.count("authorize") == 2


async def test_a_scope_that_is_never_granted_is_asked_for_once(
    oauth: OAuth, bridge: StartBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    oauth.tool_scope = "mcp:write"
    mint = oauth.mint
    monkeypatch.setattr(oauth, "mint", lambda grant: mint({**grant, "scope": "mcp"}))
    host = await bridge(oauth.url)
    await host.handshake()
    for identifier in range(3):
        host.request(identifier, "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
        assert "'mcp:write'" in (await host.answer(identifier))["error"]["message"]
    assert oauth.count("authorize") == 2


async def test_a_metadata_document_is_used_where_it_is_supported(
    oauth: OAuth, run: Run, free_port: int
) -> None:
    document = "https://client.example/metadata.json"
    oauth.clients[document] = {"redirect_uris": [f"http://127.0.0.1:{free_port}/callback"]}
    words = ("login", oauth.url, "--client-metadata-url", document, "--callback-port", str(free_port))
    assert (await run(*words)).status == 0
    assert oauth.count("register") == 1
    oauth.metadata = {"client_id_metadata_document_supported": True}
    assert (await run(*words)).status == 0
    assert oauth.count("register") == 1
    assert oauth.last("authorize")["client_id"] == document


async def test_a_client_id_given_beforehand_comes_first(oauth: OAuth, run: Run, free_port: int) -> None:
    oauth.metadata = {"client_id_metadata_document_supported": True}
    oauth.clients["known"] = {"redirect_uris": [f"http://127.0.0.1:{free_port}/callback"]}
    finished = await run(
        *("login", oauth.url, "--client-id", "known", "--callback-port", str(free_port)),
        *("--client-metadata-url", "https://client.example/metadata.json"),
    )
    assert finished.status == 0
    assert oauth.last("token")["client_id"] == "known"
    assert oauth.count("register") == 0


async def test_a_taken_callback_port_is_said(oauth: OAuth, run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = await run("login", oauth.url, "--callback-port", str(port))
    assert finished.status == 1
    assert f"Port {port} on 127.0.0.1 is taken" in finished.stderr


async def test_offline_access_is_asked_for_where_it_exists(oauth: OAuth, run: Run) -> None:
    oauth.metadata = {"scopes_supported": ["mcp", "offline_access"]}
    await run("login", oauth.url)
    assert oauth.last("authorize")["scope"] == "mcp offline_access"


async def test_a_client_secret_from_a_file_authenticates_by_post(
    oauth: OAuth, run: Run, tmp_path: Path, free_port: int
) -> None:
    oauth.clients["known"] = {"redirect_uris": [f"http://127.0.0.1:{free_port}/callback"]}
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t-value\n")
    finished = await run(
        *("login", oauth.url, "--client-id", "known", "--client-secret-file", str(secret)),
        *("--callback-port", str(free_port)),
    )
    assert finished.status == 0
    assert oauth.count("register") == 0
    assert oauth.last("token")["client_secret"] == "s3cr3t-value"


async def test_a_new_authorization_server_gets_a_new_registration(
    oauth: OAuth, run: Run, bridge: StartBridge, environment: dict[str, str]
) -> None:
    """Registrations and tokens belong to their issuer: those of the old one stay at home."""
    await run("login", oauth.url)
    path, server = stored(environment, "server")
    tokens_path, tokens = stored(environment, "tokens")
    oauth.access.clear()
    old = {"issuer": "http://127.0.0.1:1", "client_id": "at-the-old-one", "refresh_token": "old"}
    tokens_path.unlink()
    path.write_text(json.dumps(server | {"issuer": old["issuer"]}))
    from mcp_streamablehttp_client.credentials.records import Tokens
    from mcp_streamablehttp_client.credentials.store import Store

    record = Tokens.from_dict(tokens | old)
    assert record is not None
    store = Store(Path(environment["CREDENTIAL_STORAGE_PATH"]))
    store.save_tokens(record)
    store.delete_client(oauth.origin)
    host = await bridge(oauth.url)
    assert "result" in await host.handshake()
    assert oauth.count("register") == 2
    assert not any(values.get("refresh_token") == "old" for _, values in oauth.seen)
    assert store.tokens(old["issuer"], oauth.url) is None


async def test_nothing_secret_is_ever_logged_and_stdout_carries_protocol_only(
    oauth: OAuth, bridge: StartBridge, environment: dict[str, str]
) -> None:
    """The browser of this test chatters on stdout; Host.close() judges every line."""
    host = await bridge(oauth.url, "--verbose")
    await host.handshake()
    oauth.access.clear()
    host.request(1, "tools/list")
    await host.answer(1)
    oauth.access.clear()
    host.request(2, "tools/list")
    await host.answer(2)
    _, errors = await host.close()
    verifiers = [values["code_verifier"] for _, values in oauth.seen if "code_verifier" in values]
    assert len(oauth.secrets) >= 7
    for secret in [*oauth.secrets, *verifiers]:
        assert secret not in errors
        assert all(secret.encode() not in line for line in host.lines)
    assert "the token was renewed" in errors
    assert oauth.count("authorize") == 1


async def test_a_sign_in_that_fails_is_not_tried_again_by_itself(oauth: OAuth, bridge: StartBridge) -> None:
    oauth.redirect_extra = {"error": "access_denied", "error_description": "Not today"}
    oauth.drop_parameters = ("code",)
    host = await bridge(oauth.url)
    answer = await host.handshake()
    assert "access_denied: Not today" in answer["error"]["message"]
    assert f"mcp-streamablehttp-client login {oauth.url}" in answer["error"]["message"]
    await host.handshake()
    assert oauth.count("authorize") == 1


async def test_a_running_bridge_takes_up_a_login_made_elsewhere(
    oauth: OAuth, bridge: StartBridge, run: Run
) -> None:
    oauth.redirect_extra = {"error": "access_denied"}
    oauth.drop_parameters = ("code",)
    host = await bridge(oauth.url)
    assert "error" in await host.handshake()
    oauth.redirect_extra, oauth.drop_parameters = {}, ()
    assert (await run("login", oauth.url)).status == 0
    assert "result" in await host.handshake()


async def test_a_given_authorization_header_is_never_replaced_by_a_sign_in(
    oauth: OAuth, bridge: StartBridge
) -> None:
    host = await bridge(oauth.url, "--header", "Authorization: Bearer fixed")
    assert "header" in (await host.handshake())["error"]["message"]
    assert oauth.seen == []


async def test_logout_revokes_and_forgets(oauth: OAuth, run: Run, environment: dict[str, str]) -> None:
    await run("login", oauth.url)
    assert f"signed in at {oauth.origin}" in (await run("status", oauth.url)).stdout
    finished = await run("logout", oauth.url)
    assert finished.stdout == f"Signed out of {oauth.url}.\n"
    assert oauth.access == {}
    assert list(Path(environment["CREDENTIAL_STORAGE_PATH"]).glob("*.json")) == []
    status = await run("status", oauth.url)
    assert status.status == 1
    assert f"mcp-streamablehttp-client login {oauth.url}" in status.stderr


async def test_status_prints_no_secret(oauth: OAuth, run: Run) -> None:
    await run("login", oauth.url)
    for words in (("status",), ("status", oauth.url)):
        finished = await run(*words)
        assert oauth.url in finished.stdout
        assert not any(secret in finished.stdout + finished.stderr for secret in oauth.secrets)


async def test_login_to_an_open_server_says_so(sdk_url: str, run: Run) -> None:
    finished = await run("login", sdk_url)
    assert finished.stdout == f"{sdk_url} needs no sign-in.\n"
