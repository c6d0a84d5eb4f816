"""What an authorization server can suffer from in its store and its settings: how it is noticed, the rule,
and the cure."""

from __future__ import annotations

from dataclasses import dataclass

from ._common.hop import AUTHORIZATION, Hop, State, Verdict, wrong

DISABLED = "a disabled account is refused at its next request, with all its tokens"
ADMITTED = "somebody must be admitted: an account, or a provider's people"


@dataclass(frozen=True)
class Trouble:
    hop: Hop
    noticed: str
    """What a person sees of it."""
    rule: str
    cure: str
    """With {names} for what was found."""
    state: State = "wrong"

    def found(self, what: str, said: str = "", **found: object) -> Verdict:
        """`found` is what the cure speaks of."""
        return wrong(self.hop, what, self.rule, self.cure.format(**found), said, state=self.state)


TROUBLES: dict[str, Trouble] = {
    "store is away": Trouble(
        "store",
        "503 from the authorization server",
        "no store, no answer: never a wrong one",
        "check STORE_URL, and that the store runs, has room and can be written",
    ),
    "database wiped": Trouble(
        "store",
        "every client is refused, or the next start knows nobody",
        "clients, grants, keys and accounts live in the database",
        "put the file back (`mcp-oauth-server restore` of a backup) and start again; without one, start "
        "again and connect each client anew",
    ),
    "keys": Trouble(
        "keys",
        "tokens of one replica are refused by another",
        "every replica has the same GATEWAY_SECRET",
        "give them the same GATEWAY_SECRET; after a change: mcp-oauth-server keys remove KID",
        "warning",
    ),
    "nobody admitted": Trouble(
        "person",
        "nobody can sign in",
        ADMITTED,
        "set {setting}",
    ),
    "everybody admitted": Trouble(
        "person",
        "nothing: that is the danger",
        "* admits every account of the provider",
        "name the people, unless that is meant",
        "warning",
    ),
    "no account": Trouble(
        "person",
        "nobody can sign in",
        ADMITTED,
        "mcp-oauth-server users add NAME",
    ),
    "person disabled": Trouble(
        "person",
        "somebody's calls are refused with 401, and the sign-in says the account is disabled",
        DISABLED,
        "mcp-oauth-server users enable {name}, if that was not meant",
        "warning",
    ),
    "nobody enabled": Trouble(
        "person",
        "nobody can sign in",
        DISABLED,
        "mcp-oauth-server users enable {name}",
    ),
    "port changed": Trouble(
        "url",
        "a client that worked cannot reach its server any more",
        f"{AUTHORIZATION}, Canonical Server URI: a token is for one address, port included",
        "start at the old address again (PORT=… or PUBLIC_URL=…), or connect the clients anew at {url}",
        "warning",
    ),
    "proxies": Trouble(
        "edge",
        "nothing: that is the danger",
        "with TRUSTED_PROXIES=* any caller chooses its address for rate limits and the log",
        "name your proxy's network",
        "warning",
    ),
}
