"""A real Envoy that does what the HTTPRoutes of kubernetes/overlays/externalauth say.

An implementation of the Gateway API makes such a configuration out of them. Here it is made by the text of
the API and no option beyond it, since another implementation may not set that either: paths are not
normalized, headers with underscores pass. Nothing is left out but the redirect from http.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.kubernetes import OVERLAYS, objects

Json = dict[str, Any]
_TYPES = "type.googleapis.com/envoy.extensions"
_OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"


def rendered(servers: tuple[str, ...]) -> list[Json]:
    """The HTTPRoutes that the listener for https has, with that of `time` once for each of these servers."""
    text = (OVERLAYS / "externalauth" / "rendered.yaml").read_text()
    routes = {one["metadata"]["name"]: one for one in objects(text) if one["kind"] == "HTTPRoute"}
    time = json.dumps(routes["time"])
    theirs = [json.loads(time.replace('"time', f'"{name}').replace("/time", f"/{name}")) for name in servers]
    return [routes["auth"], routes["rest"], *theirs]


def configuration(routes: list[Json], port: int, ports: dict[str, int], certificate: Path, key: Path) -> Json:
    filters: dict[str, Json] = {}
    hosts = [_host(route, filters) for route in routes]
    router = {"name": "router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "use_remote_address": True,
        "strip_any_host_port": True,
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [*filters.values(), router],
    }
    files = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
    tls = {
        "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [files], "alpn_protocols": ["http/1.1"]},
    }
    chain = {
        "transport_socket": {"name": "tls", "typed_config": tls},
        "filters": [{"name": "http", "typed_config": manager}],
    }
    listener = {"name": "https", "address": _address(port), "filter_chains": [chain]}
    clusters = {"gate": ports["auth"], **{name: ports[name] for name in ports if name != "auth"}}
    return {
        "static_resources": {
            "listeners": [listener],
            "clusters": [_cluster(name, number) for name, number in clusters.items()],
        }
    }


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int) -> Json:
    endpoint = {"endpoint": {"address": _address(port)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment}


def _host(route: Json, filters: dict[str, Json]) -> Json:
    spec, name = route["spec"], route["metadata"]["name"]
    assert spec["parentRefs"] == [{"name": "edge", "sectionName": "https"}]
    made: list[tuple[tuple[Any, ...], Json]] = []
    for rule in spec["rules"]:
        action = _action(rule, name, filters)
        for match in rule.get("matches", [{}]):
            rank, said = _match(match)
            made.append((rank, {"match": said, **action}))
    ordered = sorted(made, key=lambda one: one[0], reverse=True)
    return {"name": name, "domains": spec["hostnames"], "routes": [one for _, one in ordered]}


def _match(match: Json) -> tuple[tuple[Any, ...], Json]:
    """What precedes what (HTTPRouteRule, `matches`), and the same match in Envoy's words."""
    path = match.get("path", {"type": "PathPrefix", "value": "/"})
    value = path["value"]
    said: Json
    if path["type"] == "Exact":
        said = {"path": value}
    elif path["type"] == "RegularExpression":
        said = {"safe_regex": {"regex": value}}
    else:
        said = {"prefix": "/"} if value == "/" else {"path_separated_prefix": value.rstrip("/")}
    headers: list[Json] = []
    if "method" in match:
        headers.append({"name": ":method", "string_match": {"exact": match["method"]}})
    for header in match.get("headers", []):
        assert header["type"] == "RegularExpression"
        regex = {"safe_regex": {"regex": header["value"]}}
        headers.append({"name": header["name"], "string_match": regex})
    if headers:
        said["headers"] = headers
    kind = ("PathPrefix", "RegularExpression", "Exact").index(path["type"])
    return (kind, len(value), "method" in match, len(headers)), said


def _action(rule: Json, name: str, filters: dict[str, Json]) -> Json:
    if "backendRefs" not in rule:
        return {"direct_response": {"status": 404}}
    (backend,) = rule["backendRefs"]
    to: Json = {"cluster": backend["name"]}
    if "timeouts" in rule:
        to["timeout"] = rule["timeouts"]["request"]
    action: Json = {"route": to}
    for filtered in rule.get("filters", []):
        if filtered["type"] == "ExternalAuth":
            filters[name] = _external_auth(name, filtered["externalAuth"])
            enabled = {"@type": f"{_TYPES}.filters.http.ext_authz.v3.ExtAuthzPerRoute", "check_settings": {}}
            action["typed_per_filter_config"] = {name: enabled}
        elif filtered["type"] == "RequestHeaderModifier":
            assert set(filtered["requestHeaderModifier"]) == {"remove"}
            action["request_headers_to_remove"] = filtered["requestHeaderModifier"]["remove"]
        else:
            modifier = filtered["responseHeaderModifier"]
            action["response_headers_to_remove"] = modifier["remove"]
            action["response_headers_to_add"] = [
                {"header": {"key": one["name"], "value": one["value"]}, "append_action": _OVERWRITE}
                for one in modifier["set"]
            ]
    return action


def _external_auth(name: str, said: Json) -> Json:
    """GEP-1494. Of each route its own filter, which that route alone switches on, as Cilium does it."""
    assert said["protocol"] == "HTTP"
    http, cluster = said["http"], said["backendRef"]["name"]
    service = {
        "server_uri": {"uri": f"http://{cluster}:8000", "cluster": cluster, "timeout": "10s"},
        "path_prefix": http["path"],
        "authorization_response": {"allowed_upstream_headers": _any_of(http["allowedResponseHeaders"])},
    }
    config = {
        "@type": f"{_TYPES}.filters.http.ext_authz.v3.ExtAuthz",
        "http_service": service,
        "allowed_headers": _any_of(http["allowedHeaders"]),
        "failure_mode_allow": False,
    }
    return {"name": name, "disabled": True, "typed_config": config}


def _any_of(headers: list[str]) -> Json:
    return {"patterns": [{"exact": header, "ignore_case": True} for header in headers]}
