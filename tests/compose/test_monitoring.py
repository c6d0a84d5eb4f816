"""monitoring/ beside the gateway on a real engine, as its page says: who is asked, what is told, and traced.

Prometheus and the exporter are Debian's in the place of the public images; Grafana, whose image cannot be had
here, is left out.
"""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway import environment
from tests.access import Access, sign_in
from tests.compose.base_images import prometheus_image
from tests.compose.engine import Engine, NoEngineError
from tests.compose.stack import COMPOSE, ROOT, Stack, free_port, start_compose
from tests.conftest import Gateway
from tests.forms import FormFiller
from tests.local.test_inside import call
from tests.monitoring import collector, test_traces
from tests.monitoring.collector import Collector, Span
from tests.monitoring.test_monitoring import answers, wanted

pytestmark = [pytest.mark.compose, pytest.mark.timeout(900)]

TARGETS = 8
"""The edge, two of auth, four servers, and Redis' exporter."""
WITHIN = 300
SERVICES = ("scraper", "prometheus", "redis-exporter")
OVERRIDE = """
services: {{prometheus: {{ports: !override ["127.0.0.1:{port}:9090"]}}}}
secrets:
  edge_secret: {{file: {secrets}/edge_secret}}
  redis_password: {{file: {secrets}/redis_password}}
"""


@dataclass(frozen=True)
class Observed:
    stack: Stack
    collector: str
    """Its container."""
    prometheus: str
    """Its address."""

    def sent(self) -> list[Span]:
        """What the collector has got so far."""
        told = Collector()
        for line in self.stack.engine.docker("logs", self.collector).splitlines():
            told.take(base64.b64decode(line))
        return told.spans


@pytest.fixture(scope="module")
def prometheus(engine: Engine, images: dict[str, str]) -> str:
    """The image that stands in for the public ones."""
    try:
        return prometheus_image(engine, images["PYTHON_IMAGE"])
    except NoEngineError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def observed(engine: Engine, images: dict[str, str], prometheus: str, folder: Path) -> Iterator[Observed]:
    endpoint = f"http://collector:{collector.PORT}"
    with (
        start_compose(engine, images, folder, "one host", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as stack,
        collecting(stack) as container,
        monitoring(stack, prometheus, folder) as address,
    ):
        yield Observed(stack, container, address)


@contextmanager
def collecting(stack: Stack) -> Iterator[str]:
    """A container that every service reaches as `collector`."""
    name, program = f"{stack.project}-collector", Path(collector.__file__)
    stack.engine.docker(
        "run", "--detach", "--name", name, "--network", f"{stack.project}_servers", "--network-alias",
        "collector", "--volume", f"{program}:/collector.py:ro", "--entrypoint", "python",
        "mcp-oauth-gateway/auth:test", "/collector.py",
    )  # fmt: skip
    try:
        stack.engine.docker("network", "connect", "--alias", "collector", f"{stack.project}_gate", name)
        yield name
    finally:
        stack.engine.docker("rm", "--force", name)


@contextmanager
def monitoring(stack: Stack, image: str, folder: Path) -> Iterator[str]:
    """The project beside the gateway, as its page starts it; where its Prometheus is."""
    port, override = free_port(), folder / "monitoring.yml"
    override.write_text(OVERRIDE.format(port=port, secrets=environment.folder(stack.env_file, ROOT)))
    files = ["-f", str(ROOT / "monitoring" / "docker-compose.yml"), "-f", str(override)]
    variables = {
        **stack.engine.environment,
        "GATEWAY_PROJECT": stack.project,
        "COMPOSE_PROJECT_NAME": f"{stack.project}-monitoring",
        "GRAFANA_PASSWORD": "unused",
        "PROMETHEUS_IMAGE": image,
        "REDIS_EXPORTER_IMAGE": image,
    }

    def compose(*arguments: str) -> None:
        command = [str(COMPOSE), *files, *arguments]
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, timeout=WITHIN, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        compose("up", "--detach", *SERVICES)
        yield f"http://127.0.0.1:{port}"
    finally:
        compose("down", "--volumes", "--timeout", "1")


async def signed_in(stack: Stack, name: str, http: httpx.AsyncClient) -> Access:
    gateway = Gateway(stack.issuer, stack.server_url, stack.password)
    return await sign_in(stack.server(name), FormFiller(http, gateway, stack.account))


async def test_every_service_is_asked_and_every_query_gives_data(observed: Observed) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        time, echo = [await signed_in(observed.stack, name, http) for name in ("time", "echo-stateless")]
        left = {*wanted(), f"count(up == 1) == {TARGETS}"}
        async with asyncio.timeout(WITHIN):
            while left:
                answered = await call(time.resource, time.bearer, "get_current_time", timezone="UTC")
                assert answered.status_code == 200, answered.text
                assert (await call(echo.resource, echo.bearer, "echo", message="x")).status_code == 200
                assert (await call(echo.resource, time.bearer)).status_code == 401  # another server's token
                left = {query for query in left if not await answers(http, observed.prometheus, query)}


async def test_a_call_is_one_trace_from_the_edge_to_the_server(observed: Observed) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        access = await signed_in(observed.stack, "time", http)
        zones = {"source_timezone": "UTC", "target_timezone": "Asia/Tokyo"}
        answered = await call(access.resource, access.bearer, "convert_time", time="12:00", **zones)
        assert answered.status_code == 200, answered.text
    tool = "tools/call convert_time"
    async with asyncio.timeout(WITHIN):
        while not test_traces.complete(spans := observed.sent(), tool):
            await asyncio.sleep(1)
    [called] = [span for span in spans if span.name == tool]
    assert called.server == access.resource
    assert test_traces.chain(spans, called.id) == [
        ("traefik", "POST"),
        ("traefik", "ReverseProxy"),
        (test_traces.PROXY, "POST /mcp"),
        (test_traces.PROXY, tool),
    ]
