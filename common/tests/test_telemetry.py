"""Spans: off unless configured, the last sent before the end, a missing exporter said in one line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from common.settings import SettingsError
from common.telemetry import configure, configured

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROGRAM = """
from opentelemetry import trace
from common.serving import address, listen, serve, server
from common.telemetry import configure

assert configure("mcp-x")

async def app(scope, receive, send):
    with trace.get_tracer("test").start_as_current_span("the-last-call"):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

listener = listen("127.0.0.1", 0)
print(address(listener), flush=True)
serve(server(app, grace=5, lifespan="off", log_level="error"), listener)
"""


def test_it_is_off_unless_an_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
        assert configured({name: "http://127.0.0.1:4318"})
    assert not configured(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}
    )
    assert not configure("mcp-x")


def test_nothing_of_it_is_loaded_while_it_is_off() -> None:
    program = PROGRAM.replace("assert configure", "assert not configure").partition("listener =")[0]
    program += "import sys; server(app, grace=1); assert 'opentelemetry.sdk' not in sys.modules"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=kept, check=True)


def test_a_missing_exporter_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    with pytest.raises(SettingsError, match=r"needs the extra otel: pip install 'mcp-x\[otel\]'"):
        configure("mcp-x")


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
@pytest.mark.parametrize("address", ["collector:4318", "collector", "grpc://collector:4317", "http://"])
def test_what_is_no_url_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, address: str) -> None:
    monkeypatch.setenv(name, address)
    with pytest.raises(SettingsError, match=f"^{name} must be a URL such as http://"):
        configure("mcp-x")


@contextmanager
def called_once(endpoint: str) -> Iterator[subprocess.Popen[str]]:
    """A server that sends its spans there and has answered one call."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environment = kept | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    environment |= {"OTEL_EXPORTER_OTLP_TIMEOUT": "3600"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert (
                httpx.get(process.stdout.readline().strip(), trust_env=False, timeout=60).status_code == 204
            )
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("sig", "status"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_the_last_spans_are_sent_before_the_end(sig: signal.Signals, status: int) -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            with called_once(f"http://127.0.0.1:{collector.server_port}") as process:
                assert received == []
                process.send_signal(sig)
                assert process.wait(60) == status
        finally:
            collector.shutdown()
            thread.join()
    assert {path for path, _ in received} == {"/v1/traces"}
    assert sum(body.count(b"the-last-call") for _, body in received) == 1


def test_a_collector_that_does_not_answer_keeps_nobody() -> None:
    """Nor does what it would have waited for in the end: its time-out is far beyond this test's."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with called_once(endpoint) as process:
            process.send_signal(signal.SIGTERM)
            connection, _ = silent.accept()
            with connection:
                assert process.wait(60) == -signal.SIGTERM
