"""What Prometheus reads of refusals: who, what and why, and no more of them than fits."""

from __future__ import annotations

import io

from mcp_oauth_dynamicclient.audit import Audit
from mcp_oauth_dynamicclient.metrics import Metrics, Refusals


def counted(metrics: Metrics) -> list[str]:
    page = metrics.exposition().decode().splitlines()
    return [line for line in page if line.startswith("mcp_oauth_refusals_total{")]


def test_a_refusal_counts_under_its_client_and_its_reason() -> None:
    metrics = Metrics()
    audit = Audit(io.StringIO(), observe=metrics.observe)
    for outcome in ("refused", "refused", "allowed"):
        audit.record("access", outcome=outcome, client="cursor", reason="The access token has expired.")
    audit.record("login", outcome="failed", reason="eyJhbGciOiJub25lIn0.e30.secret")
    assert sorted(counted(metrics)) == [
        'mcp_oauth_refusals_total{client="",event="login",reason="[redacted]"} 1.0',
        'mcp_oauth_refusals_total{client="cursor",event="access",reason="The access token has expired."} 2.0',
    ]


def test_strangers_fill_no_memory_and_the_last_are_kept() -> None:
    metrics = Metrics()
    metrics.observe("access", "refused", "once", "why")
    for number in range(1000):
        metrics.observe("authorize", "refused", f"{number}-" + "x" * 1000, "y" * 1000)
        metrics.observe("access", "refused", "often", "why")
    lines = counted(metrics)
    assert len(lines) == Refusals.KEPT + 2
    assert 'mcp_oauth_refusals_total{client="once",event="access",reason="why"} 1.0' in lines
    assert all(len(line) < 3 * Refusals.LONGEST for line in lines)
    assert 'mcp_oauth_refusals_total{client="often",event="access",reason="why"} 1000.0' in lines
    assert any('client="999-' in line for line in lines)


def test_no_strangers_text_keeps_metrics_from_being_read() -> None:
    metrics = Metrics()
    metrics.observe("token.issue", "refused", "half \ud800", 'a\nb "\\ \udfff')
    [line] = counted(metrics)
    assert 'client="half ?"' in line
