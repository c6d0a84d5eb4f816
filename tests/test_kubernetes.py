"""What Kubernetes would start is what docker-compose.yml starts, behind the same gate; no cluster is run.

Rendered here by the real helm and kubectl, and checked by the schemas of every kind.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from mcp_oauth_dynamicclient.public import INTERNAL_PATHS
from mcp_streamablehttp_proxy.serve import _GRACE as PROXY_GRACE
from ruamel.yaml import YAML

from gateway import kubernetes
from gateway.kubernetes_schemas import KINDS, custom_faults, faults

pytestmark = pytest.mark.timeout(600)  # the first render fetches both programs

ROOT = Path(__file__).resolve().parent.parent
NOT_THERE = {"engine", "auth-2", "echo-redis"}
"""What asks the Docker engine; auth's second replica; what echo-stateful shares, if one chooses to."""
Json = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Json:
    said: Json = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
    return said


@pytest.fixture(scope="module")
def values() -> Json:
    said: Json = YAML(typ="safe").load((kubernetes.CHART / "values.yaml").read_text())
    return said


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Json]]:
    return kubernetes.everything()


@pytest.fixture(scope="module")
def objects(rendered: dict[str, list[Json]]) -> list[Json]:
    return rendered["chart"]


def of(objects: list[Json], *kinds: str) -> dict[str, Json]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] in kinds}


def pods(objects: list[Json]) -> dict[str, Json]:
    return {
        name: one["spec"]["template"]["spec"]
        for name, one in of(objects, "Deployment", "StatefulSet").items()
    }


def servers(compose: Json) -> dict[str, Json]:
    return {
        name: one for name, one in compose["services"].items() if "traefik.enable" in one.get("labels", {})
    }


@pytest.mark.parametrize("rendering", kubernetes.RENDERINGS, ids=lambda one: one.file.parent.name)
def test_what_stands_here_is_what_the_chart_renders(rendering: kubernetes.Rendering) -> None:
    assert rendering.file.read_text() == kubernetes.rendered(rendering), "run ./justw kubernetes"


@pytest.mark.parametrize("name", [path.stem for path in kubernetes.VALUES.iterdir()])
def test_helm_and_kustomize_say_the_same(rendered: dict[str, list[Json]], name: str) -> None:
    def by_name(objects: list[Json]) -> dict[tuple[str, str], Json]:
        found = {}
        for one in copy.deepcopy(objects):
            one["metadata"].pop("namespace", None)
            if one["kind"] in ("Deployment", "StatefulSet"):
                # A patch of Kustomize's puts what it changes first.
                one["spec"]["template"]["spec"]["containers"][0].get("env", []).sort(
                    key=lambda env: env["name"]
                )
            found[one["kind"], one["metadata"]["name"]] = one
        assert len(found) == len(objects)
        return found

    helm, kustomize = by_name(rendered[f"chart with {name}"]), by_name(rendered[f"overlay {name}"])
    assert set(helm) == set(kustomize)
    for key, one in helm.items():
        assert one == kustomize[key], key


def test_every_object_is_what_its_kinds_schema_says(rendered: dict[str, list[Json]]) -> None:
    kinds = {(one["apiVersion"], one["kind"]) for those in rendered.values() for one in those}
    custom = {kind for version, kind in kinds if version in KINDS}
    assert custom == {"IngressRoute", "Middleware", "TLSStore", "Gateway", "GatewayClass", "HTTPRoute"}
    assert not faults(rendered)


def test_the_schemas_refuse_what_is_wrong(rendered: dict[str, list[Json]]) -> None:
    def broken(name: str, kind: str, *path: str | int, value: object) -> Json:
        (one, *_) = [one for one in rendered[f"chart with {name}"] if one["kind"] == kind]
        one = copy.deepcopy(one)
        place: Any = one["spec"]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        return one

    wrong = {
        "no such member": broken("small", "IngressRoute", "routes", 0, "servcies", value=[]),
        "no such type": broken("small", "IngressRoute", "entryPoints", value="web"),
        "no such value": broken("httproute", "Gateway", "listeners", 0, "protocol", value="HTPP" * 100),
        "no such name": broken("externalauth", "HTTPRoute", "hostnames", value=["A_b"]),
        "no such port": broken("httproute", "HTTPRoute", "rules", 0, "backendRefs", 0, "port", value=70000),
    }
    refused = custom_faults(wrong)
    assert {line.partition(":")[0] for line in refused} == set(wrong)
    pod = broken("small", "StatefulSet", "template", "spec", "containerz", value=[])
    assert faults({"x": [pod]})


def test_the_same_services_and_images(compose: Json, values: Json, objects: list[Json]) -> None:
    usual = {name for name, one in compose["services"].items() if not one.get("profiles")}
    started = pods(objects)
    assert set(started) == usual - NOT_THERE
    for name, pod in started.items():
        image = pod["containers"][0]["image"].rsplit(":", 1)
        said = compose["services"][name]["image"]
        assert said.startswith(image[0]) or f":-{image[0]}:{image[1]}" in said
        assert image[1] in said


def test_the_same_servers(compose: Json, values: Json) -> None:
    theirs = servers(compose)
    assert set(values["servers"]) == set(theirs)
    for name, one in values["servers"].items():
        assert one.get("args") == theirs[name].get("command")
        assert theirs[name]["image"].startswith(f"{values['imagePrefix']}{one.get('image', name)}:")
        assert one.get("enabled", True) == ("profiles" not in theirs[name])
        built = theirs[name]["build"]["dockerfile"]
        assert bool(one.get("stateful")) == ("proxy/" in built or "server-stateful/" in built)


def test_the_same_settings(compose: Json, objects: list[Json]) -> None:
    for name, pod in pods(objects).items():
        theirs = compose["services"][name].get("environment", {})
        known = {entry.split("=")[0] for entry in theirs} if isinstance(theirs, list) else set(theirs)
        ours = {entry["name"] for entry in pod["containers"][0].get("env", [])} - {"POD_IP"}
        replicas = {"MCP_REPLICAS", "MCP_REPLICA_ADDRESS", "MCP_REPLICA_SECRET_FILE"}
        assert ours - replicas <= known
        if name in servers(compose):
            assert ours >= {"MCP_TRUST_IDENTITY", "MCP_IDENTITY_URL", "MCP_PUBLIC_URL", "MCP_ALLOWED_HOSTS"}


def test_the_same_edge(compose: Json, objects: list[Json]) -> None:
    """Each option of Traefik, but for ports, certificates, and where it learns of servers."""
    own = (
        "--providers.docker",
        "--providers.kubernetescrd",
        "--certificatesresolvers",
        "--entrypoints.web.address",
        "--entrypoints.websecure.address",
        "--entrypoints.web.http.redirections",
        "--entrypoints.websecure.http.tls",
        "--entrypoints.web.http.middlewares",
        "--entrypoints.web.forwardedheaders",
        "--entrypoints.websecure.forwardedheaders",
        "--entrypoints.web.transport.lifecycle",  # a load balancer stands in front
        "--entrypoints.websecure.transport.lifecycle",
    )

    def options(said: list[str]) -> set[str]:
        return {option for option in said if not option.startswith(own)}

    traefik = pods(objects)["traefik"]["containers"][0]
    assert options(traefik["args"]) == options(compose["services"]["traefik"]["command"])
    rules = of(objects, "ConfigMap")["traefik"]["data"]["dynamic.yml"]
    assert rules.rstrip() == (ROOT / "traefik" / "dynamic.yml").read_text().rstrip()


def test_nothing_is_exposed_without_the_gate(compose: Json, objects: list[Json]) -> None:
    args = pods(objects)["traefik"]["containers"][0]["args"]
    for point in ("web", "websecure"):
        assert f"--entrypoints.{point}.http.middlewares=edge@file" in args
    routes = of(objects, "IngressRoute")
    assert set(routes) == set(pods(objects)) & set(servers(compose))
    for name, route in routes.items():
        (only,) = route["spec"]["routes"]
        assert only["middlewares"] == [{"name": "server@file"}]
        assert [service["name"] for service in only["services"]] == [name]
        assert route["spec"]["entryPoints"] == ["web", "websecure"]
    assert not of(objects, "Ingress", "HTTPRoute", "IngressRouteTCP")
    outside = [name for name, one in of(objects, "Service").items() if one["spec"].get("type")]
    assert outside == ["edge"]
    assert of(objects, "Service")["edge"]["spec"]["selector"] == {"app.kubernetes.io/name": "traefik"}


def test_each_has_a_network_policy_and_servers_hear_only_the_edge_and_their_own(objects: list[Json]) -> None:
    policies = of(objects, "NetworkPolicy")
    assert set(policies) == set(pods(objects))
    may = {"auth": {"traefik"}, "redis": {"auth"}}
    for name, policy in policies.items():
        if name == "traefik":
            continue
        (rule,) = policy["spec"]["ingress"]
        heard = {one["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for one in rule["from"]}
        assert heard <= may.get(name, {"traefik", name})
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_the_same_limits_and_rights(compose: Json, objects: list[Json]) -> None:
    """But for a bound on processes, which Kubernetes has for machines only, and Traefik's right to low ports,
    for which it listens on high ones."""
    users = {"redis": 999, "traefik": 65532}  # compose: by name, and as root without any right
    for name, pod in pods(objects).items():
        theirs, (container,) = compose["services"][name], pod["containers"]
        said = container["resources"]["limits"]["memory"]
        assert said.lower().removesuffix("i") == theirs["mem_limit"]
        assert container["securityContext"]["readOnlyRootFilesystem"] == theirs["read_only"]
        assert container["securityContext"]["capabilities"]["drop"] == theirs["cap_drop"]
        assert "no-new-privileges:true" in theirs["security_opt"]
        assert pod["securityContext"]["runAsUser"] == users.get(name, 10001)
        assert bool(pod.get("shareProcessNamespace")) == bool(theirs.get("init"))
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert set(theirs["tmpfs"]) <= mounted
        ports = {port["containerPort"] for port in container["ports"]}
        assert ports == {"auth": {8000}, "redis": {6379}, "traefik": {8000, 8443, 8090}}.get(name, {3000})
    for dockerfile in ROOT.glob("mcp-*server*/Dockerfile"):
        assert "USER 10001:10001" in dockerfile.read_text()


def test_what_ends_has_the_time_it_takes(rendered: dict[str, list[Json]]) -> None:
    """As in the stack of Swarm, where it is tried."""
    stack: Json = YAML(typ="safe").load((ROOT / "docker-stack.yml").read_text())["services"]
    for name, pod in pods(rendered["chart with every server"]).items():
        if name in ("redis", "traefik"):
            continue
        assert f"{pod['terminationGracePeriodSeconds']}s" == stack[name]["stop_grace_period"]
        (container,) = pod["containers"]
        drain = {one["name"]: one.get("value") for one in container["env"]}.get("MCP_DRAIN")
        assert name == "auth" or drain == stack[name]["environment"]["MCP_DRAIN"]
        assert name == "auth" or float(drain or 0) + PROXY_GRACE < pod["terminationGracePeriodSeconds"]


def test_no_pod_has_more_than_it_needs(objects: list[Json]) -> None:
    for name, pod in pods(objects).items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] == (name == "traefik")
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert "readinessProbe" in container
        assert "startupProbe" in container
    assert not of(objects, "Secret"), "secrets are named, never carried"


def test_replicas_that_keep_sessions_find_one_another(values: Json, objects: list[Json]) -> None:
    stateful = {
        name for name, one in values["servers"].items() if one.get("stateful") and one.get("enabled", True)
    }
    assert stateful == {"time", "echo-stateful"}
    for name in stateful:
        assert of(objects, "Service")[name]["spec"]["clusterIP"] == "None"
        assert of(objects, "StatefulSet")[name]["spec"]["serviceName"] == name
        env = {one["name"]: one.get("value") for one in pods(objects)[name]["containers"][0]["env"]}
        assert env["MCP_REPLICAS"] == f"{name}:3000"
        assert env["MCP_REPLICA_ADDRESS"] == "$(POD_IP):3000"
        (secret,) = [one["secret"] for one in pods(objects)[name]["volumes"] if "secret" in one]
        assert secret["secretName"] == f"{name}-replicas"


def routes(objects: list[Json], domain: str = "example.com") -> dict[str, Json]:
    """The HTTPRoutes of servers, by their names."""
    names = {name for name, one in of(objects, "Service").items() if one["spec"]["ports"][0]["port"] == 3000}
    found = of(objects, "HTTPRoute")
    assert names <= set(found)
    for name in names:
        assert found[name]["spec"]["hostnames"] == [f"{name}.{domain}"]
    return {name: found[name] for name in names}


def test_by_the_gateway_api_traefik_has_one_rule_for_each_server(rendered: dict[str, list[Json]]) -> None:
    """A rule that names a path would go before the routers of traefik/dynamic.yml, which need no token."""
    objects = rendered["chart with httproute"]
    assert not of(objects, "IngressRoute")
    assert set(of(objects, "HTTPRoute")) == set(routes(objects))
    for name, route in routes(objects).items():
        (rule,) = route["spec"]["rules"]
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
        assert rule["backendRefs"] == [{"name": name, "port": 3000}]
        (only,) = rule["filters"]
        assert only["extensionRef"] == {"group": "traefik.io", "kind": "Middleware", "name": "server"}
    chain = of(objects, "Middleware")["server"]["spec"]["chain"]["middlewares"]
    assert chain == [{"name": "server@file"}]
    (container,) = pods(objects)["traefik"]["containers"]
    listeners = {str(one["port"]) for one in of(objects, "Gateway")["edge"]["spec"]["listeners"]}
    for point, port in (("web", "8000"), ("websecure", "8443")):
        assert f"--entrypoints.{point}.address=:{port}" in container["args"]
        assert f"--entrypoints.{point}.http.middlewares=edge@file" in container["args"]
        assert port in listeners


def test_by_the_gateway_api_nothing_reaches_a_server_past_the_filter(rendered: dict[str, list[Json]]) -> None:
    """tests/edges asks a real Envoy with these routes; here, that there is no other way in."""
    objects = rendered["chart with externalauth"]
    assert "traefik" not in pods(objects)
    assert not of(objects, "IngressRoute", "Ingress", "Middleware")
    served = routes(objects)
    assert set(of(objects, "HTTPRoute")) == {*served, "auth", "rest", "to-https"}
    for name, route in of(objects, "HTTPRoute").items():
        for rule in route["spec"]["rules"]:
            to = [one["name"] for one in rule.get("backendRefs", [])]
            asked = [one["externalAuth"] for one in rule.get("filters", []) if one["type"] == "ExternalAuth"]
            assert to in ([], ["gate"], [name])
            assert bool(asked) == (to == [name])
            assert [one["http"]["path"] for one in asked] in ([], [f"/verify/at/{name}"])
    for name in ("auth", "rest"):
        internal, _ = of(objects, "HTTPRoute")[name]["spec"]["rules"]
        assert "backendRefs" not in internal
        assert {one["path"]["value"] for one in internal["matches"]} == {f"/{one}" for one in INTERNAL_PATHS}
    env = {one["name"]: one.get("value") for one in pods(objects)["auth"]["containers"][0]["env"]}
    assert set(env["SERVERS"].split(",")) == set(served)
    assert "EDGE_URL" not in env
    assert env["TRUSTED_PROXIES"] != "*"
    for name in served:
        said = {one["name"]: one.get("value") for one in pods(objects)[name]["containers"][0]["env"]}
        assert said["MCP_IDENTITY_URL"] == "http://auth:8000/internal/identity"
        peers = of(objects, "NetworkPolicy")[name]["spec"]["ingress"][0]["from"]
        assert peers[0]["podSelector"]["matchLabels"] == {"gateway.networking.k8s.io/gateway-name": "edge"}


def test_production_has_three_of_each_and_lets_go_of_one_at_a_time(rendered: dict[str, list[Json]]) -> None:
    objects = rendered["overlay production"]
    scaled = of(objects, "HorizontalPodAutoscaler")
    for name, one in of(objects, "Deployment", "StatefulSet").items():
        if name == "redis":
            assert one["spec"]["replicas"] == 1
            continue
        least = scaled[name]["spec"]["minReplicas"] if name in scaled else one["spec"]["replicas"]
        assert least == 3
        assert of(objects, "PodDisruptionBudget")[name]["spec"]["maxUnavailable"] == 1
        assert one["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert set(scaled) == {"echo-stateless", "fetch", "time"}


def test_a_server_of_ones_own_has_its_secrets_by_reference(rendered: dict[str, list[Json]]) -> None:
    objects = rendered["overlay own-server"]
    container = pods(objects)["weather"]["containers"][0]
    env = {one["name"]: one for one in container["env"]}
    assert env["WEATHER_KEY"] == {
        "name": "WEATHER_KEY", "valueFrom": {"secretKeyRef": {"name": "weather", "key": "key"}}
    }  # fmt: skip
    assert "--env=WEATHER_KEY" in container["args"]
    assert "weather" in of(objects, "IngressRoute")
    assert "weather" in of(objects, "NetworkPolicy")
