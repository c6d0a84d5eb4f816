"""`client show|update|delete URL`: this program's registration (RFC 7592)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import click

from ..credentials.records import Client
from ..credentials.store import Store
from ..errors import ClientError
from ..logs import set_up
from ..oauth.registration import refused
from ..oauth.urls import checked
from ..oauth.web import Answer, Web
from ..settings import Settings
from ..terminal import say, say_json
from .options import url_argument

_SECRET = frozenset({"client_secret", "registration_access_token"})
_NOT_SENT = frozenset(
    {
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
    }
)
"""An update must not carry these (RFC 7592 section 2.2)."""


@click.group(name="client")
def client() -> None:
    """Look after the registration that this program has at a server's authorization server."""


@client.command()
@url_argument
@click.option("--secrets", is_flag=True, help="Print secrets, too.")
def show(url: str, secrets: bool) -> None:
    """Print the registration as the authorization server has it."""
    document = asyncio.run(_Registration(url).read())
    say_json({key: "…" if key in _SECRET and not secrets else value for key, value in document.items()})


@client.command()
@url_argument
@click.argument("members", nargs=-1, required=True, metavar="KEY=VALUE...")
def update(url: str, members: tuple[str, ...]) -> None:
    """Change members of the registration, e.g. client_name="My laptop" or contacts:='["a@b.c"]'."""
    from .arguments import from_words

    say(f"Changed: {', '.join(asyncio.run(_Registration(url).change(from_words(members, {}))))}.")


@client.command()
@url_argument
def delete(url: str) -> None:
    """Delete the registration there, and forget it and its tokens here."""
    asyncio.run(_Registration(url).delete())
    say("The registration is deleted; the next sign-in makes a new one.")


class _Registration:
    """Raises ClientError where there is none, or its authorization server gave no way to manage it."""

    def __init__(self, url: str) -> None:
        set_up(verbose=False)
        self._store = Store()
        server = self._store.server(url)
        client = self._store.client(server.issuer) if server is not None else None
        if server is None or client is None:
            raise ClientError(f"There is no registration for {url}; it is made when signing in.")
        if client.management_url is None or client.management_token is None:
            raise ClientError(f"{client.issuer} gave no address to manage the registration at (RFC 7592).")
        self._client: Client = client
        self._address = checked(client.management_url, "registration_client_uri", url)
        self._web = Web(Settings(url))

    async def read(self) -> dict[str, Any]:
        answer = await self._exchange("GET")
        if answer.status != 200 or answer.document is None:
            raise refused(f"{self._client.issuer} does not show the registration", answer)
        self._keep(answer.document)
        return answer.document

    async def change(self, members: dict[str, Any]) -> list[str]:
        """The members that are different now: servers may decline some."""
        before = await self.read()
        wanted = {key: value for key, value in before.items() if key not in _NOT_SENT} | members
        answer = await self._exchange("PUT", wanted)
        if answer.status != 200 or answer.document is None:
            raise refused(f"{self._client.issuer} did not change the registration", answer)
        self._keep(answer.document)
        return [
            key for key, value in answer.document.items() if key not in _NOT_SENT and before.get(key) != value
        ] or ["nothing"]

    async def delete(self) -> None:
        answer = await self._exchange("DELETE")
        if answer.status not in (204, 401, 404):  # 401: it is gone already (RFC 7592 section 2.3)
            raise refused(f"{self._client.issuer} did not delete the registration", answer)
        issuer = self._client.issuer
        for server in self._store.servers():
            if server.issuer == issuer:
                self._store.delete_tokens(issuer, server.resource)
                self._store.delete_server(server.url)
        self._store.delete_client(issuer)

    async def _exchange(self, method: str, body: dict[str, Any] | None = None) -> Answer:
        fields = {"Authorization": f"Bearer {self._client.management_token}"}
        return await self._web.exchange(method, self._address, body=body, headers=fields)

    def _keep(self, document: dict[str, Any]) -> None:
        """The token, secret and address may be new ones (RFC 7592 section 3)."""
        names = {
            "management_token": "registration_access_token",
            "management_url": "registration_client_uri",
            "client_secret": "client_secret",
        }
        found = {
            name: document[member] for name, member in names.items() if isinstance(document.get(member), str)
        }
        redirects = document.get("redirect_uris")
        if isinstance(redirects, list) and redirects and self._client.redirect_uri not in redirects:
            found["redirect_uri"] = str(redirects[0])
        self._client = replace(self._client, **found)
        self._store.save_client(self._client)
