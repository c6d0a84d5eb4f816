r"""The MCP host under which the official client conformance suite sees the real bridge.

    conformance client --command "python tests/conformance_client/driver.py" \
        --requirements 2026-07-28 --timeout 180000

The SDK's own client plays the host and starts mcp-streamablehttp-client as its stdio server; each
scenario decides what the host does. The "browser" that the bridge opens is this file again: it
follows the authorization server's redirects to the bridge's loopback listener.

The suite starts all scenarios at once; as many as there are processors run at a time, the others
wait, so that no timeout of the host's measures the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

BRIDGE = [sys.executable, "-m", "mcp_streamablehttp_client"]
METADATA_DOCUMENT = "https://conformance-test.local/client-metadata.json"
MODERN = "2026-07-28"


def browse(url: str) -> None:
    import httpx

    httpx.get(url, follow_redirects=True, timeout=10)


def bridge_options(scenario: str, context: dict[str, Any], storage: str) -> list[str]:
    options: list[str] = []
    if scenario.startswith("auth/client-credentials"):
        options += ["--client-credentials"]
    if "idp_token_endpoint" in context:
        token = Path(storage) / "identity-token"
        token.write_text(context["idp_id_token"])
        options += ["--identity-provider", context["idp_token_endpoint"]]
        options += ["--identity-client-id", context["idp_client_id"], "--identity-token-file", str(token)]
    if "private_key_pem" in context:
        key = Path(storage) / "client-key.pem"
        key.write_text(context["private_key_pem"])
        options += ["--client-key", str(key)]
    if scenario == "auth/basic-cimd" or scenario.startswith("auth/offline-access"):
        options += ["--client-metadata-url", METADATA_DOCUMENT]
    if "client_id" in context:
        options += ["--client-id", context["client_id"]]
    if "client_secret" in context:
        options += ["--client-secret", context["client_secret"]]
    return options


async def host(url: str, scenario: str, version: str, context: dict[str, Any], storage: str) -> None:
    import mcp_types as types
    from mcp import StdioServerParameters
    from mcp.client.client import Client

    async def elicit(context: Any, params: Any) -> types.ElicitResult:
        schema = getattr(params, "requested_schema", None) or {}
        answers = {
            name: member.get("default", True)
            for name, member in schema.get("properties", {}).items()
            if "default" in member or member.get("type") == "boolean"
        }
        return types.ElicitResult(action="accept", content=answers)

    async def sample(context: Any, params: Any) -> types.CreateMessageResult:
        text = types.TextContent(type="text", text="a sampled answer")
        return types.CreateMessageResult(role="assistant", content=text, model="driver")

    async def roots(context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[])

    child = StdioServerParameters(
        command=BRIDGE[0],
        args=[*BRIDGE[1:], url, "--timeout", "20", *bridge_options(scenario, context, storage)],
        env={
            **os.environ,
            "BROWSER": f"{sys.executable} {Path(__file__).resolve()} --browse %s",
            "CREDENTIAL_STORAGE_PATH": storage,
            "MCP_FIRST_ANSWER": "60",  # as slow as this machine may be, the scenario sees the sign-in
        },
    )
    mode = "auto" if version >= MODERN and scenario != "json-schema-ref-no-deref" else "legacy"
    async with Client(
        child, mode=mode, elicitation_callback=elicit, sampling_callback=sample, list_roots_callback=roots
    ) as client:
        tools = (await client.list_tools()).tools
        planned = context.get("toolCalls")
        if planned is None and scenario == "json-schema-2020-12-preservation":
            focal = next(tool for tool in tools if tool.name == "json_schema_2020_12_tool")
            planned = [{"name": "json_schema_echo", "arguments": {"schema": focal.input_schema}}]
        if planned is None:
            planned = [
                {"name": tool.name, "arguments": sample_arguments(tool.input_schema)} for tool in tools
            ]
        offered = {tool.name for tool in tools}
        for call in planned:
            if call["name"] in offered:
                with contextlib.suppress(Exception):  # the suite judges what went over the wire
                    await client.call_tool(call["name"], call.get("arguments") or {})


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """One of as many places as there are processors, shared by all drivers on this machine."""
    directory = Path(tempfile.gettempdir()) / "conformance-client-turns"
    directory.mkdir(exist_ok=True)
    for place in itertools.cycle(range(os.cpu_count() or 1)):
        lock = FileLock(directory / str(place), timeout=0.1)
        try:
            lock.acquire()
        except Timeout:
            continue
        try:
            yield
        finally:
            lock.release()
        return


def sample_arguments(schema: dict[str, Any]) -> dict[str, Any]:
    values = {"string": "x", "integer": 3, "number": 5, "boolean": True, "array": [], "object": {}}
    properties = schema.get("properties", {})
    return {
        name: values.get(properties.get(name, {}).get("type"), "x") for name in schema.get("required", [])
    }


def main() -> None:
    if sys.argv[1] == "--browse":
        browse(sys.argv[2])
        return
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    version = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25")
    with turn(), tempfile.TemporaryDirectory() as storage:
        asyncio.run(host(sys.argv[-1], scenario, version, context, storage))


if __name__ == "__main__":
    main()
