"""Access without a browser: made inside auth's container, as a sign-in would have left it."""

from __future__ import annotations

import json

from tests.compose.stack import Stack

PROGRAM = """
import asyncio, io, json
from mcp_oauth_dynamicclient.app import open_context
from mcp_oauth_dynamicclient.records import Grant, Identity
from mcp_oauth_dynamicclient.settings import load_settings

async def main(resource):
    async with open_context(load_settings(), audit=io.StringIO()) as ctx:
        grant = Grant(
            grant_id="test", client_id="test", client_name="Test", resource=resource, scope="mcp",
            identity=Identity(provider="local", subject={account!r}, login={account!r}, name="A"),
            created_at=ctx.now(), last_used_at=ctx.now(),
        )
        await ctx.store.put("grant", "test", grant.model_dump())
        token, _ = await ctx.tokens.issue_access(grant, resource=resource, scope="mcp")
        claims = await ctx.tokens.verify(token)
        statement = await ctx.statements.about(grant, claims, resource)
        print(json.dumps({{"token": token, "statement": statement}}))

asyncio.run(main({resource!r}))
"""


def access_token(stack: Stack, resource: str, what: str = "token") -> str:
    """A token that opens a server, or the `statement` that this server would be told with it."""
    said = stack.python("auth", PROGRAM.format(account=stack.account, resource=resource))
    return str(json.loads(said.splitlines()[-1])[what])
