#!/bin/sh
# Brings .venv to what requirements.lock says, with the six packages editable. Quick when nothing changed.
set -eu
cd "$(dirname "$0")/.."
packages="mcp-oauth-dynamicclient mcp-streamablehttp-client mcp-streamablehttp-proxy mcp-fetch-streamablehttp-server
    mcp-echo-streamablehttp-server-stateless mcp-echo-streamablehttp-server-stateful"
wanted=$(cat requirements.lock mcp-*/pyproject.toml gateway/setup.sh | cksum)
[ "$(cat .venv/installed 2>/dev/null)" = "$wanted" ] && exit 0

[ -x .venv/bin/python ] || python3 -m venv .venv
pip="$PWD/.venv/bin/python -m pip install --quiet --disable-pip-version-check"
echo "Installing the workspace from requirements.lock (once; a minute or two) ..." >&2
$pip --require-hashes --requirement requirements.lock
editable=
for package in $packages; do editable="$editable --editable ./$package"; done
# shellcheck disable=SC2086  # a list of options
$pip --no-deps --no-build-isolation $editable
echo "$wanted" > .venv/installed
