"""Every hop of the gateway that `up` started here: the containers, then from inside, then as a client."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from mcp_oauth_dynamicclient._common.hop import Verdict as Finding
from mcp_oauth_dynamicclient.operator_token import Pass
from mcp_oauth_dynamicclient.settings import Settings
from mcp_streamablehttp_client._common.hop import Verdict, unseen, well

from . import deploy, environment
from .doctor_address import check_edges_certificate
from .doctor_ask import CONNECT_SECONDS, Client, Inside, ended, said_of
from .doctor_client import PURPOSE, Known, Passes, call, check_server
from .doctor_containers import Container, check_containers, containers
from .doctor_machine import check_disk
from .doctor_refusals import READ_AT_MOST, check_refusals
from .doctor_troubles import as_here, trouble
from .doctor_walk import walk

AUTH = ("auth", "auth-2")
EVERYWHERE = "0.0.0.0"  # noqa: S104  # as the engine says it
ROUTED_WITHIN = 20
"""Seconds for the edge to see a server that has just become healthy."""
EXEC_WITHIN = 60.0
"""Seconds for a command in a container."""
WELL_KNOWN = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True)
class Stack:
    """What is set, and what the engine tells of it."""

    env_file: Path
    values: Mapping[str, str]
    settings: Settings
    configuration: Mapping[str, Any]
    containers: Sequence[Container]

    def of(self, service: str) -> Container | None:
        """A service's container, one that runs before one that does not."""
        own = [one for one in self.containers if one.service == service]
        return min(own, key=lambda one: not one.serves, default=None)

    @property
    def auth(self) -> Container | None:
        """A replica that can be asked."""
        replicas = (self.of(name) for name in AUTH)
        return next((one for one in replicas if one is not None and one.serves), None)

    @property
    def with_tls(self) -> bool:
        return bool(self.values.get("ACME_EMAIL"))

    @property
    def edge(self) -> tuple[str, int] | None:
        """Where this machine itself reaches the edge."""
        traefik = self.of("traefik")
        at = (traefik.published if traefik else {}).get(443 if self.with_tls else 80)
        return ("127.0.0.1" if at[0] in ("", EVERYWHERE, "::") else at[0], at[1]) if at else None

    @property
    def edge_url(self) -> str:
        """Empty where it is not published."""
        return "{}://{}:{}".format("https" if self.with_tls else "http", *self.edge) if self.edge else ""


async def examine(env_file: Path) -> AsyncIterator[Verdict]:
    """Raises DeployError for settings that are refused."""
    try:
        deploy.require_engine()
    except deploy.DeployError as problem:
        yield trouble("engine", "the Docker engine does not answer", str(problem))
        return
    stack = await asyncio.to_thread(read, env_file)
    for verdict in check_containers(wanted(stack), stack.containers):
        yield verdict
    if not stack.containers:
        return
    async for verdict in check_edge(stack):
        yield verdict
    for verdict in check_room():
        yield verdict
    auth = stack.auth
    if auth is None:
        yield unseen("store", "no container of the authorization server can be asked")
        return
    try:
        for verdict in await asyncio.to_thread(records, auth):
            yield verdict
        for verdict in check_refusals(await asyncio.to_thread(audit_log, stack, auth)):
            yield verdict
    except deploy.DeployError as problem:
        yield trouble(
            "container is unwell", f"{auth.service} cannot be asked", str(problem), name=auth.service
        )
        return
    known = servers(stack)
    async with AsyncExitStack() as until_done:
        passes: Passes | None = None
        try:
            passes = await until_done.enter_async_context(passes_of(auth, known))
        except deploy.DeployError as problem:
            yield trouble("no pass", "the authorization server makes no token to look with", str(problem))
        if passes is not None:
            async for verdict in check_inside(stack, known, passes):
                yield verdict
        if stack.edge is not None:
            local = stack.edge_url.replace("127.0.0.1", "localhost")
            async for verdict in walk(stack.settings.issuer, stack.edge_url, local, known, passes):
                yield verdict


async def try_server(env_file: Path, name: str) -> Verdict:
    """Call one server, as a client does, at the edge's own port. Raises DeployError."""
    stack = await asyncio.to_thread(read, env_file)
    if stack.auth is None or stack.edge is None:
        raise deploy.DeployError("the gateway does not run; ./justw up starts it")
    known = {name: servers(stack)[name]}
    async with passes_of(stack.auth, known) as passes, Client(stack.edge_url) as here:
        for _ in range(ROUTED_WITHIN):
            verdict = await check_server(here, name, known[name], passes[name].token, stack.settings.issuer)
            if verdict.hop not in ("url", "challenge") and "is away" not in verdict.said:
                break
            await asyncio.sleep(1)
        return verdict


def read(env_file: Path) -> Stack:
    """Raises DeployError."""
    settings = deploy.known_settings(env_file)
    configuration = json.loads(deploy.compose_output(env_file, "config", "--format", "json"))
    return Stack(env_file, environment.read(env_file), settings, configuration, containers(env_file))


def wanted(stack: Stack) -> dict[str, str]:
    """Services, each with the hash of its settings as Compose makes it."""
    hashes = deploy.compose_output(stack.env_file, "config", "--hash", "*")
    known = dict(line.split(maxsplit=1) for line in hashes.splitlines() if " " in line)
    return {name: known.get(name, "") for name in stack.configuration["services"]}


async def check_edge(stack: Stack) -> AsyncIterator[Verdict]:
    """The port of this machine, what answers there, and the certificates that it shows."""
    traefik = stack.of("traefik")
    if traefik is None or not traefik.serves:
        return  # which has been told
    if stack.edge is None:
        port = 443 if stack.with_tls else 80
        yield trouble("port", f"the edge's port {port} is not published on this machine")
        return
    host, port = stack.edge
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_SECONDS)
        writer.close()
    except (OSError, TimeoutError) as problem:
        yield trouble("port", f"nobody answers at port {port}", said_of(problem))
        return
    yield well("port", f"{port} answers")
    metadata = stack.settings.issuer + WELL_KNOWN
    try:
        async with Client(stack.edge_url) as here:
            reply = await here.ask("GET", metadata)
        status, said = reply.status, reply.said
    except (httpx.HTTPError, TimeoutError) as problem:
        status, said = 0, said_of(problem)
    if status == 200:
        yield well("edge", "leads to the authorization server")
    elif status == 503:
        yield trouble("auth is away", "the edge reaches no replica of the authorization server", said)
    else:
        yield trouble("edge", f"the edge does not lead {metadata} to the authorization server", said)
    if stack.with_tls:
        names = {urlsplit(stack.settings.issuer).hostname or ""}
        names |= {urlsplit(server.url).hostname or "" for server in servers(stack).values()}
        for name in sorted(names):
            yield await check_edges_certificate(name, host, port)


def check_room() -> Iterator[Verdict]:
    """The verdict on the disk that the engine keeps volumes, images and logs on, where that is this
    machine's."""
    root = Path(deploy.docker("info", "--format", "{{.DockerRootDir}}").strip())
    try:
        shutil.disk_usage(root)
    except OSError:
        yield unseen("disk", f"{root}, where the engine keeps its volumes, cannot be looked at from here")
        return
    yield check_disk(root, writable=False)


def records(auth: Container) -> list[Verdict]:
    """What the authorization server says of settings, store, keys and people. Raises DeployError."""
    program = ("mcp-oauth-server", "check", "--inside", "--json")
    done = deploy.docker_result("exec", auth.name, *program, within=EXEC_WITHIN)
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        raise deploy.DeployError(done.stderr.strip() or f"{auth.name} said nothing") from error
    return [as_here(Finding(**hop)) for hop in said["hops"]]


def audit_log(stack: Stack, auth: Container) -> bytes:
    """The end of the audit log. Raises DeployError."""
    file = stack.values.get("AUDIT_LOG") or "/audit/audit.log"
    if file == "-":
        done = deploy.docker_result("logs", "--tail", "10000", auth.name, within=EXEC_WITHIN)
        return (done.stdout + done.stderr).encode()
    return deploy.docker(
        "exec", auth.name, "tail", "-c", str(READ_AT_MOST), file, within=EXEC_WITHIN
    ).encode()


def servers(stack: Stack) -> dict[str, Known]:
    """The servers that the edge leads to."""
    found = {}
    for name, service in stack.configuration["services"].items():
        if deploy.exposed(service):
            container = stack.of(name)
            ill = container.said if container is not None and container.health == "unhealthy" else ""
            found[name] = Known(deploy.server_url(stack.settings, name), ill)
    return found


@asynccontextmanager
async def passes_of(auth: Container, known: Mapping[str, Known]) -> AsyncIterator[Passes]:
    """Made in the authorization server's container, and revoked there when its input ends.

    Raises DeployError.
    """
    urls = {server.url: name for name, server in known.items()}
    if not urls:
        yield {}
        return
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "docker", "exec", "--interactive", auth.name, "mcp-oauth-server", "operator-passes",
        f"--purpose={PURPOSE}", *urls,
        stdin=pipe, stdout=pipe, stderr=pipe, limit=2**20,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), EXEC_WITHIN)
        if not line:
            raise deploy.DeployError((await process.stderr.read()).decode(errors="replace").strip())
        yield {urls[url]: Pass(**given) for url, given in json.loads(line).items()}
    except TimeoutError as error:
        raise deploy.DeployError(f"{auth.name} did not answer within {EXEC_WITHIN:.0f} s") from error
    finally:
        process.stdin.close()
        await ended(process)


async def check_inside(stack: Stack, known: Mapping[str, Known], passes: Passes) -> AsyncIterator[Verdict]:
    """Each server in its own network, past the edge and the gate."""
    network = stack.configuration["networks"]["servers"]["name"]
    inside = {name: _inside(stack, name, network) for name in known}
    addresses = {known[name].url: url for name, url in inside.items() if url}
    image = stack.configuration["services"]["auth"]["image"]
    starter = [
        "docker", "run", "--rm", "--pull=never", "--interactive", "--network", network, "--read-only",
        "--cap-drop=ALL", "--security-opt=no-new-privileges", "--entrypoint", "python", image,
    ]  # fmt: skip
    try:
        async with Inside(starter, addresses) as way:
            reached = [name for name in known if known[name].url in addresses]
            looks = (_look(way, name, known[name], passes[name]) for name in reached)
            for verdict in await asyncio.gather(*looks):
                yield verdict
    except OSError as problem:
        yield unseen("server", f"servers cannot be asked from inside: {said_of(problem)}")


async def _look(way: Inside, name: str, server: Known, given: Pass) -> Verdict:
    try:
        return await call(way, name, server, given.statement, "from inside")
    except (httpx.HTTPError, TimeoutError) as problem:
        return trouble("server", f"{name} gives no answer inside its network", said_of(problem), name=name)


def _inside(stack: Stack, name: str, network: str) -> str:
    """Its address in the servers' network, or nothing for one that does not run."""
    container = stack.of(name)
    if container is None or not container.serves or network not in container.addresses:
        return ""
    label = container.labels.get(f"traefik.http.services.{name}.loadbalancer.server.port", "")
    port = int(label) if label.isdigit() else min(container.ports, default=3000)
    return f"http://{container.addresses[network]}:{port}/mcp"
