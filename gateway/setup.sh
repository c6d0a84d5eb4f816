#!/bin/sh
# Brings .venv to what a lock says: `run` for what `just run` needs, `workshop` for everything, `test ARGUMENTS` for
# what `just test ARGUMENTS` needs, which is one package's if they name no other. Quick when nothing changed.
set -eu
cd "$(dirname "$0")/.."
what=${1:-workshop}
if [ "$what" = test ]; then
    shift
    what=
    for argument in "$@"; do
        case "$argument" in
            mcp-*) package=${argument%%/*} package=${package%%::*} ;;
            quick | common* | tests* | gateway* | benchmarks*) package=workshop ;;
            *) continue ;;
        esac
        [ "${what:-$package}" = "$package" ] && [ -f "$package/test.lock" ] && what=$package || what=workshop
    done
    what=${what:-workshop}
fi
wanted=$(cat requirements.lock gateway/run.lock mcp-*/test.lock mcp-*/pyproject.toml gateway/setup.sh gateway/install.py \
    | cksum | tr ' ' -)
there=$(grep " $wanted\$" .venv/installed 2>/dev/null || true)
case "$there" in
    *"workshop $wanted"* | *"$what $wanted"*) exit 0 ;;
esac

[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python gateway/install.py "$what"
printf '%s\n' "$there" "$what $wanted" > .venv/installed
