"""`just doctor`: what is wrong with this gateway, by which rule, and what to do.

It walks from the processes of the local run, or from the containers that `up` started, to a call as a client
makes it. Its tokens are made with the gateway's own secret, live two minutes at most, are written into the
audit log, and are revoked at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import click
from mcp_oauth_dynamicclient.errors import SettingsError
from mcp_streamablehttp_client._common.hop import Verdict
from mcp_streamablehttp_client.terminal import say
from mcp_streamablehttp_client.verdicts import show

from . import deploy, doctor_compose, doctor_local, doctor_watch
from .state import ROOT, State

HOPS_WIDTH = len("authorization server")


def examine(state: State, env_file: Path) -> AsyncIterator[Verdict]:
    """The local run while it runs, and where nothing was ever set up for a server. Raises SettingsError or
    DeployError."""
    if state.locked() or not env_file.exists():
        return doctor_local.examine(state, dict(os.environ))
    return doctor_compose.examine(env_file)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(as_json: bool) -> None:
    """Say what is wrong with the gateway that runs here, or that `up` started, by which rule, and what to do.
    Exit status 1 when something is wrong, 2 when it cannot be looked at."""
    state, env_file = State.of(os.environ), Path(os.environ.get("ENV_FILE", ROOT / ".env"))

    async def walk() -> list[Verdict]:
        found = []
        async for verdict in examine(state, env_file):
            found.append(verdict)
            if not as_json:
                show(verdict, HOPS_WIDTH)
        return found

    try:
        found = asyncio.run(walk())
    except (SettingsError, deploy.DeployError) as error:
        print(f"doctor: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    if state.running() is not None:
        doctor_watch.write(state.walked, found)
    wrong = [verdict for verdict in found if verdict.state == "wrong"]
    warnings = [verdict for verdict in found if verdict.state == "warning"]
    if as_json:
        print(json.dumps({"well": not wrong, "hops": [verdict.to_dict() for verdict in found]}, indent=2))
    else:
        say(f"\n{len(wrong)} wrong, {len(warnings)} to look at." if wrong or warnings else "\nAll is well.")
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
