"""What monitoring/ says, run by a real Prometheus against a local run: targets, queries and alerts.

Its containers, on an engine, are tests/compose/test_monitoring.py's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from gateway.state import State
from tests.access import Access, obtain_access
from tests.conftest import ROOT, Gateway, Person, free_port, listen_for_callback
from tests.local.test_inside import call

FOLDER = ROOT / "monitoring"
DASHBOARD = FOLDER / "grafana" / "gateway.json"
JOBS = {
    "traefik": ["traefik"],
    "auth": ["auth"],
    "servers": ["echo-stateless", "echo-stateful", "fetch", "time"],
    "redis": ["redis-exporter"],
}
READY_WITHIN = 300


def read(name: str) -> Any:
    return YAML(typ="safe").load(FOLDER / name)


def alerts() -> list[dict[str, Any]]:
    return [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def measured(query: str) -> set[str]:
    """The names of what a query reads."""
    return set(re.findall(r"\b(?:mcp|traefik|redis|process)_\w+|\bup\b", query))


def test_promtool_accepts_rules_and_configuration(tmp_path: Path) -> None:
    for name in ("prometheus.yml", "alerts.yml", "scraper.yml"):
        text = (FOLDER / name).read_text()
        (tmp_path / name).write_text(text.replace("/run/secrets/edge_secret", str(tmp_path / "edge_secret")))
    (tmp_path / "edge_secret").write_text("secret")
    for arguments in (["config", "prometheus.yml"], ["config", "--agent", "scraper.yml"]):
        promtool("check", *arguments, folder=tmp_path)


def wanted() -> set[str]:
    """All that has to give data: the dashboard's queries, and what they and the alerts read."""
    read_by_alerts = (rule["expr"] for rule in alerts())
    names = {name for query in (*queries(), *read_by_alerts) for name in measured(query)}
    return {*queries(), *names}


async def answers(http: httpx.AsyncClient, prometheus: str, query: str) -> list[Any]:
    """What it says to a query; nothing while it is not up yet."""
    try:
        said = await http.get(f"{prometheus}/api/v1/query", params={"query": query})
    except httpx.TransportError:
        return []
    if said.status_code == 503:
        return []
    assert said.status_code == 200, (query, said.text)
    return list(said.json()["data"]["result"])


def promtool(*arguments: str, folder: Path) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_cure() -> None:
    for rule in alerts():
        assert rule["annotations"]["summary"], rule
        assert rule["annotations"]["cure"], rule


def test_what_asks_nobody_who_they_are_is_in_no_network_of_a_stranger() -> None:
    """Prometheus and Grafana are in a network of their own; the scraper, which is in the servers', listens to
    itself alone. That such networks hold is tests/compose/test_isolation.py's."""
    compose = read("docker-compose.yml")
    services = compose["services"]
    assert compose["networks"]["monitoring"] == {}  # this project's own
    for name in ("prometheus", "grafana"):
        assert services[name]["networks"] == ["monitoring"]
    assert "--web.listen-address=127.0.0.1:9090" in services["scraper"]["command"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def internal_of(state: State) -> tuple[str, str]:
    """Address and secret of the edge's internal entry point, from the authorization server's environment."""
    running = state.running()
    assert running is not None
    environment = Path(f"/proc/{running.services['auth'].pid}/environ").read_text().split("\0")
    values = dict(line.split("=", 1) for line in environment if "=" in line)
    return values["EDGE_URL"].removeprefix("http://"), values["EDGE_SECRET"]


@contextmanager
def running(folder: Path, *command: str, **environment: str) -> Iterator[None]:
    """A program that writes into the folder, and ends with the test."""
    with (folder / f"{Path(command[0]).name}.log").open("a") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={"PATH": os.environ["PATH"], **environment}
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def redis_exporter(folder: Path) -> Iterator[str]:
    """The exporter of a Redis with a password and a bound, as the compose file has one."""
    port, listen = free_port(), f"127.0.0.1:{free_port()}"
    redis = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    bounds = ("--requirepass", "pass", "--maxmemory", "160mb", "--maxmemory-policy", "noeviction")
    address = {"REDIS_ADDR": f"redis://127.0.0.1:{port}", "REDIS_PASSWORD": "pass"}
    with (
        running(folder, *redis, *bounds),
        running(folder, "prometheus-redis-exporter", f"-web.listen-address={listen}", **address),
    ):
        yield listen


def scraper_configuration(state: State, exporter: str, secret_file: Path, prometheus: str) -> Any:
    """Ours, with the addresses of a local run in the place of names."""
    services = state.running()
    assert services is not None
    edge, secret = internal_of(state)
    secret_file.write_text(secret)
    config = read("scraper.yml")
    config["global"] = {"scrape_interval": "1s"}
    [write] = config["remote_write"]
    write["url"] = write["url"].replace("http://prometheus:9090", prometheus)
    write["queue_config"] = {"batch_send_deadline": "1s"}
    assert {job["job_name"] for job in config["scrape_configs"]} == set(JOBS)
    for job in config["scrape_configs"]:
        for key in ("dns_sd_configs", "relabel_configs"):
            job.pop(key, None)
        name = job["job_name"]
        if name == "traefik":
            job["authorization"] = {"credentials_file": str(secret_file)}
        # An address, not a name, as containers are asked.
        job["static_configs"] = (
            [{"targets": [edge if name == "traefik" else exporter]}]
            if name in ("traefik", "redis")
            else [
                {"targets": [f"127.0.0.1:{services.services[one].port}"], "labels": {"service": one}}
                for one in JOBS[name]
            ]
        )
    return config


@pytest.fixture
def prometheus(gateway: Gateway, tmp_path: Path) -> Iterator[str]:
    """Scraper and Prometheus as they run beside a gateway, pointed at the processes of the local run."""
    assert gateway.state is not None
    shutil.copy(FOLDER / "alerts.yml", tmp_path)
    main, scraper = tmp_path / "prometheus.yml", tmp_path / "scraper.yml"
    main.write_text((FOLDER / "prometheus.yml").read_text().replace("15s", "1s"))
    address = f"127.0.0.1:{free_port()}"
    with redis_exporter(tmp_path) as exporter:
        config = scraper_configuration(
            State(gateway.state), exporter, tmp_path / "edge_secret", f"http://{address}"
        )
        with scraper.open("w") as file:
            YAML().dump(config, file)
        with (
            running(
                tmp_path, "prometheus", f"--config.file={main}", f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address={address}", "--web.enable-remote-write-receiver",
            ),
            running(
                tmp_path, "prometheus", f"--config.file={scraper}", "--enable-feature=agent",
                f"--storage.agent.path={tmp_path / 'agent'}", f"--web.listen-address=127.0.0.1:{free_port()}",
            ),
        ):  # fmt: skip
            yield f"http://{address}"


@pytest.mark.timeout(600)
async def test_every_query_gives_data(
    gateway: Gateway, prometheus: str, person: Person, http: httpx.AsyncClient
) -> None:
    async def access(name: str) -> Access:
        async with listen_for_callback() as callback:
            return await obtain_access(gateway.server(name), person, callback, http)

    time, echo = await access("time"), await access("echo-stateless")

    async def use() -> None:
        assert (await call(time.resource, time.bearer, "get_current_time", timezone="UTC")).status_code == 200
        assert (await call(echo.resource, echo.bearer, "echo", message="x")).status_code == 200
        assert (await call(echo.resource, {})).status_code == 401
        assert (await call(echo.resource, time.bearer)).status_code == 401  # another server's token

    left = {*wanted(), "count(up == 1) == 7"}
    async with asyncio.timeout(READY_WITHIN):
        while left:
            await use()
            left = {query for query in left if not await answers(http, prometheus, query)}
    for rule in alerts():
        await answers(http, prometheus, rule["expr"])
