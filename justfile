# The one way in. `./justw RECIPE` works on a fresh machine; with `just` installed the two are the same.

set positional-arguments

export PATH := justfile_directory() / ".venv/bin" + ":" + env("PATH")
python := justfile_directory() / ".venv/bin/python"

# List the recipes
default:
    @just --list --unsorted

# Start the whole gateway on this machine, without Docker (PORT=8080), with your own servers: `run mcp.json`
run *args: _setup
    @{{python}} -m gateway.run "$@"

# Manage the local gateway's authorization server, e.g. `auth users list`
auth *args: _setup
    @{{python}} -m gateway.run --auth "$@"

# Every test that needs no Docker engine
test *args: _setup
    @{{python}} -m gateway.tests "$@"

# ruff format and lint, mypy strict
check: _setup
    ruff format --check .
    ruff check .
    @{{python}} -m gateway.typecheck

# Format, and fix what ruff can fix
format: _setup
    ruff format .
    ruff check --fix .

# Start on a server with docker compose; writes missing secrets to .env first
up *args: _setup
    @{{python}} -m gateway.deploy up "$@"

# Stop what `up` started
down *args: _setup
    @{{python}} -m gateway.deploy down "$@"

# Follow the logs of what `up` started
logs *args: _setup
    @{{python}} -m gateway.deploy logs "$@"

# What `up` started, and how it is
status *args: _setup
    @{{python}} -m gateway.deploy status "$@"

# Build the images and drive a real `docker compose up` end to end
test-compose *args: _setup
    {{python}} -m pytest -m compose "$@" tests/compose

# Ten thousand sessions opened and dropped in bad ways, or SOAK_SESSIONS of them; takes several minutes
soak *args: _setup
    {{python}} -m pytest -m soak "$@" tests/soak

# The official MCP conformance suite against every part
conformance *args: _setup
    {{python}} -m tests.conformance "$@"

# The benchmarks, side by side with named peers
bench *args: _setup
    {{python}} -m benchmarks "$@"

# Build a package's wheel, install it into a fresh environment, run its own tests there
pypi-test package="all": _setup
    {{python}} -m gateway.packages test {{package}}

# Build a package's sdist and wheel, checked with twine
pypi-build package="all": _setup
    {{python}} -m gateway.packages build {{package}}

# Resolve the dependencies anew into requirements.lock and each package's own lock
lock: _setup
    {{python}} -m gateway.lock

_setup:
    @sh gateway/setup.sh
