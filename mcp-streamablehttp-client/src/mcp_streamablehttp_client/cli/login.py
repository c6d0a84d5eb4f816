"""`login URL`: sign in now, in the browser."""

import asyncio

import click

from ..conversation import challenge_of
from ..credentials.store import Store
from ..errors import DiscoveryFailed
from ..logs import quiet_loop
from ..oauth.authorizer import Authorizer
from ..settings import Settings
from .options import connection


@click.command()
@connection
def login(settings: Settings) -> None:
    """Sign in to a server and keep the tokens."""
    if settings.brings_own_authorization:
        raise click.UsageError("With an Authorization header of your own there is no sign-in.")
    store = Store()

    async def run() -> str:
        asyncio.get_running_loop().set_exception_handler(quiet_loop)
        challenge, required = await challenge_of(settings)
        try:
            tokens = await Authorizer(settings, store).sign_in_again(challenge)
        except DiscoveryFailed:
            if required:
                raise
            return f"{settings.server_url} needs no sign-in."
        return (
            f"Signed in to {tokens.resource} at {tokens.issuer}"
            + (f" with the scope {tokens.scope}" if tokens.scope else "")
            + f". The tokens are kept in {store.place}."
        )

    click.echo(asyncio.run(run()))
