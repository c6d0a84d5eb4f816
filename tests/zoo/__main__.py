"""Pinned servers that others wrote, over stdio and through the proxy in both eras: `just zoo [NAME ...]`.

What a client is told must be the same. Prints a table of differences, which goes into the proxy's README
if no server is named; status 1 if there are any.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.servers import virtualenv
from gateway.node import NODE, installed
from tests.proxy_process import proxy_process

JSON = dict[str, Any]
README = Path(__file__).parents[2] / "mcp-streamablehttp-proxy" / "README.md"
MARKED = re.compile(r"(<!-- zoo -->\n).*?(<!-- end -->)", re.DOTALL)
MODERN = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
WITHIN = 60.0
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
ONLY_MODERN = ("resultType", "ttlMs", "cacheScope", "_meta")


@dataclass(frozen=True)
class Animal:
    """`command` makes the command line, in a folder of its own."""

    name: str
    version: str
    sdk: str
    command: Callable[[Path], tuple[str, ...]]


def npm(package: str, version: str, script: str, *arguments: str) -> Callable[[Path], tuple[str, ...]]:
    return lambda place: (str(NODE), str(installed(package, version) / script), *arguments)


def pypi(
    package: str, version: str, *arguments: str, program: str = "", beside: tuple[str, ...] = ()
) -> Callable[[Path], tuple[str, ...]]:
    """A program, of its package's name if no other is given, installed with what stands `beside` it."""

    def command(place: Path) -> tuple[str, ...]:
        scripts = virtualenv(f"zoo-{package}", f"{package}=={version}", *beside)
        return (str(scripts / (program or package)), *arguments)

    return command


def told(command: Callable[[Path], tuple[str, ...]], **environment: str) -> Callable[[Path], tuple[str, ...]]:
    """A server that starts only if it is told of an account, which nobody has."""
    words = tuple(f"{name}={value}" for name, value in environment.items())
    return lambda place: ("env", *words, *command(place))


def kubernetes(place: Path) -> tuple[str, ...]:
    """It asks its cluster when a tool is called, and not before."""
    cluster = {"name": "none", "cluster": {"server": "https://127.0.0.1:9"}}
    context = {"name": "none", "context": {"cluster": "none", "user": "none"}}
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context]}
    user = {"name": "none", "user": {"token": "none"}}
    (place / "kube.json").write_text(json.dumps({**config, "users": [user], "current-context": "none"}))
    package, version = "kubernetes-mcp-server", "0.0.67"
    return npm(package, version, "bin/index.js", "--kubeconfig", str(place / "kube.json"))(place)


def reference(name: str, *arguments: str) -> Animal:
    package, version = f"@modelcontextprotocol/server-{name}", "2026.8.31"
    return Animal(package, version, "TypeScript", npm(package, version, "dist/index.js", *arguments))


ZOO = (
    reference("everything"),
    reference("memory"),
    reference("sequential-thinking"),
    reference("filesystem", "/usr/share"),
    Animal(
        "@playwright/mcp", "0.0.83", "TypeScript", npm("@playwright/mcp", "0.0.83", "cli.js", "--headless")
    ),
    Animal("mcp-server-time", "2026.10.19", "Python 2", pypi("mcp-server-time", "2026.10.19")),
    Animal(
        "mcp-server-fetch",
        "2026.10.24",
        "Python 2",
        pypi("mcp-server-fetch", "2026.10.24"),
    ),
    Animal("mcp-server-git", "2026.10.19", "Python 2", pypi("mcp-server-git", "2026.10.19")),
    Animal(
        "mcp-server-sqlite",
        "2025.4.25",
        "Python 1",
        pypi("mcp-server-sqlite", "2025.4.25", beside=("mcp<2",)),
    ),
    Animal("mcp-grafana", "2.1.1", "Go", pypi("mcp-grafana", "2.1.1", "--usage-stats=disabled")),
    Animal("cnb-rs-mcp", "1.3.0", "Rust", pypi("cnb-rs-mcp", "1.3.0")),
    Animal(
        "@upstash/context7-mcp",
        "4.1.1",
        "TypeScript 2",
        npm("@upstash/context7-mcp", "4.1.1", "dist/index.js"),
    ),
    Animal("@eslint/mcp", "0.3.13", "TypeScript", npm("@eslint/mcp", "0.3.13", "src/mcp-cli.js")),
    Animal(
        "chrome-devtools-mcp",
        "1.11.0",
        "TypeScript",
        npm("chrome-devtools-mcp", "1.11.0", "build/src/bin/chrome-devtools-mcp.js", "--headless"),
    ),
    Animal("markitdown-mcp", "0.0.1a8", "Python 2", pypi("markitdown-mcp", "0.0.1a8")),
    Animal("excel-mcp-server", "2.2.2", "Python 2", pypi("excel-mcp-server", "2.2.2", "stdio")),
    Animal(
        "mcp-server-calculator",
        "0.2.1",
        "Python 1",
        pypi("mcp-server-calculator", "0.2.1", beside=("mcp<2",)),
    ),
    Animal("kubernetes-mcp-server", "0.0.67", "Go", kubernetes),
    Animal(
        "@toolbox-sdk/server",
        "1.12.0",
        "Go",
        told(
            npm("@toolbox-sdk/server", "1.12.0", "bin/run.js", "--prebuilt", "sqlite", "--stdio"),
            SQLITE_DATABASE="toolbox.db",
        ),
    ),
    Animal(
        "jmrplens-gitlab-mcp-server",
        "3.3.0",
        "Go",
        told(
            pypi("jmrplens-gitlab-mcp-server", "3.3.0"),
            GITLAB_TOKEN="none",
            GITLAB_URL="https://127.0.0.1:9",
        ),
    ),
    Animal(
        "grok-search-rs",
        "0.4.0",
        "Rust",
        told(pypi("grok-search-rs", "0.4.0"), GROK_SEARCH_API_KEY="none"),
    ),
    Animal("msmcp-azure", "3.0.0", "C#", pypi("msmcp-azure", "3.0.0", "server", "start", program="azmcp")),
)


def direct(command: tuple[str, ...], place: Path) -> JSON:
    """What the server says over stdio: results by method."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=place
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said: JSON = {}
        for number, (method, params) in enumerate(
            (("initialize", INITIALIZE), *((one, {}) for one in LISTS))
        ):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line) if line.startswith(b"{") else {}
                if answer.get("id") == number and "method" not in answer:
                    said[method] = answer.get("result")
                    break
            if method == "initialize":
                process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        process.kill()
    return said


INITIALIZE: JSON = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "zoo", "version": "1"},
}


def post(http: httpx.Client, method: str, params: JSON, headers: dict[str, str]) -> httpx.Response:
    sent = {"accept": "application/json, text/event-stream", **headers}
    body: JSON = {"jsonrpc": "2.0", "method": method, "params": params}
    return http.post(
        "/mcp", json=body if method.startswith("notifications/") else {**body, "id": 1}, headers=sent
    )


def result(response: httpx.Response) -> Any:
    text = response.text
    if response.headers["content-type"].startswith("text/event-stream"):
        text = [line[6:] for line in text.splitlines() if line.startswith("data: {")][-1]
    return json.loads(text).get("result")


def through_session(http: httpx.Client) -> JSON:
    opened = post(http, "initialize", INITIALIZE, {})
    headers = {"mcp-session-id": opened.headers.get("mcp-session-id", "")}
    said = {"initialize": result(opened)}
    post(http, "notifications/initialized", {}, headers)
    said |= {method: result(post(http, method, {}, headers)) for method in LISTS}
    http.delete("/mcp", headers=headers)
    return said


def through_modern(http: httpx.Client) -> JSON:
    meta = {
        f"{PREFIX}protocolVersion": MODERN,
        f"{PREFIX}clientInfo": INITIALIZE["clientInfo"],
        f"{PREFIX}clientCapabilities": {},
    }
    said = {}
    for method in ("server/discover", *LISTS):
        headers = {"mcp-protocol-version": MODERN, "mcp-method": method}
        found = result(post(http, method, {"_meta": meta}, headers))
        said[method] = found
    return said


def differences(there: JSON, here: JSON) -> list[str]:
    return [method for method in LISTS if plain(there.get(method)) != plain(here.get(method))]


def plain(found: Any) -> Any:
    """A result without what belongs to an era; an error counts as nothing."""
    return found and {key: value for key, value in found.items() if key not in ONLY_MODERN}


def visit(animal: Animal) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        place = Path(folder)
        command = animal.command(place)
        there = direct(command, place)
        with (
            proxy_process(place / "log", "--name", "animal", "--cwd", folder, "--", *command) as proxy,
            httpx.Client(base_url=proxy.url, timeout=WITHIN, trust_env=False) as http,
        ):
            started = time.monotonic()
            session = through_session(http)
            modern = through_modern(http)
            taken = time.monotonic() - started
    wrong = differences(there, session)
    if session["initialize"] != there["initialize"]:
        wrong.insert(0, "initialize")
    tools = len((there.get("tools/list") or {}).get("tools", ()))
    return (
        animal.name,
        animal.version,
        animal.sdk,
        str(tools),
        ", ".join(wrong) or "same",
        ", ".join(differences(there, modern)) or "same",
        f"{taken:.1f}",
    )


def main() -> int:
    chosen = sys.argv[1:]
    rows = []
    for animal in ZOO:
        if chosen and animal.name not in chosen:
            continue
        try:
            rows.append(visit(animal))
        except (
            OSError,
            RuntimeError,
            ValueError,
            KeyError,
            subprocess.SubprocessError,
            httpx.HTTPError,
        ) as error:
            rows.append((animal.name, animal.version, animal.sdk, "", f"failed: {error!r}"[:120], "", ""))
        print(" | ".join(rows[-1]), flush=True)
    heads = ("server", "version", "SDK", "tools", "in a session", "2026-07-28")
    lines = [heads, ("---", "---", "---", "---:", "---", "---"), *(row[:6] for row in rows)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    print(f"\n{table}")
    if not chosen:
        README.write_text(MARKED.sub(lambda found: f"{found[1]}{table}{found[2]}", README.read_text()))
    return 0 if all(row[4:6] == ("same", "same") for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
