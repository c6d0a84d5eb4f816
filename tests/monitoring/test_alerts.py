"""Every alert fires when what it is about happens, and only then; run by promtool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from .test_monitoring import FOLDER, alerts, promtool

MINUTES = 20
SERVICE = 'service="time",server="default",instance="i"'


def seconds_bucket(slow: int) -> dict[str, str]:
    """A hundred requests a minute, so many of which take over ten seconds."""
    quick, all_ = f"0+{100 - slow}x{MINUTES}", f"0+100x{MINUTES}"
    labels = 'service="time",server="default"'
    name = "mcp_proxy_request_seconds_bucket"
    return {
        f'{name}{{{labels},le="1"}}': quick,
        f'{name}{{{labels},le="10"}}': quick,
        f'{name}{{{labels},le="60"}}': all_,
        f'{name}{{{labels},le="+Inf"}}': all_,
    }


def part(name: str, used: int) -> dict[str, str]:
    return {f"{name}{{{SERVICE}}}": f"{used}x{MINUTES}", f"{name}_limit{{{SERVICE}}}": f"100x{MINUTES}"}


HEALTHY = {
    'up{job="servers",service="time",instance="i"}': f"1x{MINUTES}",
    'mcp_oauth_store_up{instance="i"}': f"1x{MINUTES}",
    'redis_memory_used_bytes{instance="i"}': f"50x{MINUTES}",
    'redis_memory_max_bytes{instance="i"}': f"100x{MINUTES}",
    'mcp_oauth_verify_total{outcome="invalid_token"}': f"0+10x{MINUTES}",
    'mcp_oauth_decisions_total{event="login",outcome="refused"}': f"0+0x{MINUTES}",
    'process_start_time_seconds{job="servers",service="time",instance="i"}': f"1x{MINUTES}",
    f"mcp_proxy_child_crashes_total{{{SERVICE}}}": f"0x{MINUTES}",
    f"mcp_proxy_child_failures_total{{{SERVICE}}}": f"0x{MINUTES}",
    'traefik_service_requests_total{service="time",code="200"}': f"0+99x{MINUTES}",
    'traefik_service_requests_total{service="time",code="502"}': f"0+1x{MINUTES}",
    **seconds_bucket(slow=1),
    **part("mcp_proxy_sessions", 50),
    **part("mcp_sessions", 50),
    **part("mcp_proxy_children", 50),
}
"""Series of a gateway that is well, each minute's value."""


@dataclass(frozen=True)
class Case:
    alert: str
    series: dict[str, str]
    """What is different."""


CASES = [
    Case("ServiceAway", {'up{job="servers",service="time",instance="i"}': f"0x{MINUTES}"}),
    Case("StoreAway", {'mcp_oauth_store_up{instance="i"}': f"0x{MINUTES}"}),
    Case("StoreFull", {'redis_memory_used_bytes{instance="i"}': f"95x{MINUTES}"}),
    Case("RefusedTokens", {'mcp_oauth_verify_total{outcome="invalid_token"}': f"0+120x{MINUTES}"}),
    Case("RefusedTokens", {'mcp_oauth_verify_total{outcome="insufficient_scope"}': f"0+120x{MINUTES}"}),
    Case("SignInsFail", {'mcp_oauth_decisions_total{event="login",outcome="refused"}': f"0+2x{MINUTES}"}),
    Case("SignInsFail", {'mcp_oauth_decisions_total{event="login",outcome="failed"}': f"0+2x{MINUTES}"}),
    Case(
        "ServiceRestarting",
        {'process_start_time_seconds{job="servers",service="time",instance="i"}': f"0+60x{MINUTES}"},
    ),
    Case("ServerRestarting", {f"mcp_proxy_child_crashes_total{{{SERVICE}}}": f"0+1x{MINUTES}"}),
    Case("ServerRestarting", {f"mcp_proxy_child_failures_total{{{SERVICE}}}": f"0+1x{MINUTES}"}),
    Case("ServerSlow", seconds_bucket(slow=20)),
    Case("EdgeErrors", {'traefik_service_requests_total{service="time",code="502"}': f"0+20x{MINUTES}"}),
    Case("SessionsFull", part("mcp_proxy_sessions", 95)),
    Case("SessionsFull", part("mcp_sessions", 95)),
    Case("ProcessesFull", part("mcp_proxy_children", 95)),
]


def test_every_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("case", [Case("", {}), *CASES], ids=lambda case: case.alert or "none")
def test_it_fires_and_no_other(case: Case, tmp_path: Path) -> None:
    firing = f'{{alertname="{case.alert}"}}'
    expected = [{"labels": firing, "value": 1}] if case.alert else []
    series = {**HEALTHY, **case.series}
    test = {
        "rule_files": [str(FOLDER / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": f"{MINUTES}m",
                        "exp_samples": expected,
                    }
                ],
            }
        ],
    }
    with (tmp_path / "test.yml").open("w") as file:
        YAML().dump(test, file)
    promtool("test", "rules", "test.yml", folder=tmp_path)
