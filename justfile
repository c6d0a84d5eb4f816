# The one way in. `./justw RECIPE` works on a fresh machine; with `just` installed the two are the same.

set positional-arguments

# Where the command was typed: files that it names are there.
export GATEWAY_CALLER := env("GATEWAY_CALLER", invocation_directory())
export PATH := justfile_directory() / ".venv/bin" + ":" + env("PATH")
python := justfile_directory() / ".venv/bin/python"

# List the recipes
default:
    @just --list --unsorted

# Start the whole gateway on this machine, without Docker; with your own servers: `run mcp.json`, `run -- COMMAND`
[no-exit-message]
run *args: _setup-run
    @exec {{python}} -m gateway.run "$@"

# Give a server of your own an address while the gateway runs: `add NAME -- COMMAND`, `add NAME URL`
[no-exit-message]
add *args: _setup-run
    @exec {{python}} -m gateway.manage add "$@"

# Take such a server away
[no-exit-message]
remove *args: _setup-run
    @exec {{python}} -m gateway.manage remove "$@"

# Which services there are, where, and how they are: of the local run, else of what `up` started
[no-exit-message]
status *args: _setup-run
    @exec {{python}} -m gateway.manage status "$@"

# What is wrong with it, hop by hop, by which rule, and the cure; `--json` for programs
[no-exit-message]
doctor *args: _setup-run
    @exec {{python}} -m gateway.doctor "$@"

# What they say, or those NAMED; --no-follow returns at once
[no-exit-message]
logs *args: _setup-run
    @exec {{python}} -m gateway.manage logs "$@"

# End it and start it as it was, or only the services NAMED
[no-exit-message]
restart *args: _setup-run
    @exec {{python}} -m gateway.manage restart "$@"

# End it
[no-exit-message]
stop *args: _setup-run
    @exec {{python}} -m gateway.manage stop "$@"

# Manage the authorization server, of the local run or else of what `up` started, e.g. `auth users list`
[no-exit-message]
auth *args: _setup-run
    @{{python}} -m gateway.run --auth "$@"

# Every test that needs no Docker engine; `test quick`, `test PACKAGE`, or what pytest takes
[no-exit-message]
test *args:
    @sh gateway/setup.sh test "$@"
    @{{python}} -m gateway.tests "$@"

# ruff format and lint, mypy strict, the copies of common/, docker-stack.yml
[no-exit-message]
check: _setup
    ruff format --check .
    ruff check .
    @{{python}} -m gateway.common check
    @{{python}} -m gateway.swarm
    @{{python}} -m gateway.typecheck

# Copy the files of common/ into the packages that use them, and make docker-stack.yml
sync: _setup
    @{{python}} -m gateway.common sync
    @{{python}} -m gateway.swarm sync

# Render the Kubernetes chart and check it (downloads kubectl and helm once)
kubernetes: _setup
    @{{python}} -m gateway.kubernetes

# Format, and fix what ruff can fix
format: _setup
    ruff format .
    ruff check --fix .

# Start on a server with docker compose, or with --swarm as a stack; writes missing secrets first
[no-exit-message]
up *args: _setup-run
    @{{python}} -m gateway.deploy up "$@"

# Stop what `up` started
[no-exit-message]
down *args: _setup-run
    @{{python}} -m gateway.deploy down "$@"

# Write accounts, clients, grants and keys of what `up` started to FILE, encrypted
[no-exit-message]
backup *args: _setup-run
    @{{python}} -m gateway.deploy backup "$@"

# Read such a FILE into the store before anything is exposed, then start
[no-exit-message]
restore *args: _setup-run
    @{{python}} -m gateway.deploy restore "$@"

# Build the images and drive a real `docker compose up` end to end
[no-exit-message]
test-compose *args: _setup
    {{python}} -m pytest -m compose "$@" tests/compose

# Ten thousand sessions opened and dropped in bad ways, or SOAK_SESSIONS of them; takes several minutes
[no-exit-message]
soak *args: _setup
    {{python}} -m pytest -m soak "$@" tests/soak

# Pictures of our own pages, taken with Chromium of a local run on port 8080, for docs/pictures
[no-exit-message]
screenshots: _setup
    @{{python}} -m tests.screenshots

# The whole gateway while everything is killed, cut off, filled: `--minutes N`, `--seed S`
[no-exit-message]
chaos *args: _setup
    @{{python}} -m tests.chaos "$@"

# Three of each on a real engine in Swarm mode, killed and replaced under load (--sessions N; as root)
[no-exit-message]
test-swarm *args: _setup
    @{{python}} -m tests.swarm "$@"

# Requests of every shape at every edge (N of them): nothing reaches a server without its token
[no-exit-message]
fuzz-gate count="100000": _setup
    {{python}} -m tests.edges.fuzz {{count}}

# What every page tells somebody to type, typed in an empty Debian container; or the walks NAMED; takes minutes
[no-exit-message]
newcomer *args: _setup
    @{{python}} -m tests.newcomer "$@"

# The official MCP conformance suite against every part
[no-exit-message]
conformance *args: _setup
    {{python}} -m tests.conformance "$@"

# Pinned servers that others wrote, over stdio and through the proxy: what differs
[no-exit-message]
zoo *args: _setup
    @{{python}} -m tests.zoo "$@"

# The benchmarks, side by side with named peers
[no-exit-message]
bench *args: _setup
    {{python}} -m benchmarks "$@"

# Pages of documentation for `bench fetch`, out of Debian's packages (git, apache2, python, sqlite, postgresql)
documentation-pages: _setup
    @{{python}} -m benchmarks.documentation

# Build a package's wheel, install it into a fresh environment, run its own tests there
[no-exit-message]
pypi-test package="all": _setup
    {{python}} -m gateway.packages test {{package}}

# Build a package's sdist and wheel, checked with twine
[no-exit-message]
pypi-build package="all": _setup
    {{python}} -m gateway.packages build {{package}}

# Resolve the dependencies anew into requirements.lock and each package's own lock
lock: _setup
    {{python}} -m gateway.lock

# The documentation as a site, in build/site; a link that leads nowhere ends it
[no-exit-message]
docs: _setup
    @NO_MKDOCS_2_WARNING=1 {{python}} -m mkdocs build --strict

# What changes/ becomes in CHANGELOG.md; with a VERSION, write it there
[no-exit-message]
changelog version="": _setup
    @towncrier build {{ if version == "" { "--draft --version next" } else { "--yes --version " + version } }}

# The parts of each package at run time and in its image (CycloneDX), from the locks, in dist/sbom
[no-exit-message]
sbom: _setup
    @{{python}} -m gateway.packages sbom

[no-exit-message]
_setup:
    @sh gateway/setup.sh workshop

[no-exit-message]
_setup-run:
    @sh gateway/setup.sh run
