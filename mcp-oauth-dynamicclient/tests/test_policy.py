"""Who is admitted: an empty list admits nobody, and a rule that is taken back counts at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mcp_oauth_dynamicclient.policy import Policy
from mcp_oauth_dynamicclient.records import Account, Identity
from mcp_oauth_dynamicclient.settings import Settings
from mcp_oauth_dynamicclient.store import Store

GITHUB = {"github_client_id": "id", "github_client_secret": "secret"}
OIDC = {"oidc_issuer": "https://login.example", "oidc_client_id": "id", "oidc_client_secret": "secret"}


def octocat(**values: object) -> Identity:
    return Identity.model_validate({"provider": "github", "subject": "583231", "login": "OctoCat"} | values)


def person(**values: object) -> Identity:
    return Identity.model_validate({"provider": "oidc", "subject": "u1", "login": "ada"} | values)


@pytest.mark.parametrize(
    ("rules", "identity", "admitted"),
    [
        ({}, octocat(), False),
        ({"allowed_github_users": " , "}, octocat(), False),
        ({"allowed_github_users": "someone, octocat "}, octocat(), True),
        ({"allowed_github_users": "octocatx,octo"}, octocat(), False),
        ({"allowed_github_users": "583231"}, octocat(), False),
        ({"allowed_github_users": "*"}, octocat(), True),
        ({"allowed_github_orgs": "Acme"}, octocat(groups=("acme", "acme/core")), True),
        ({"allowed_github_orgs": "acme/core"}, octocat(groups=("acme", "acme/core")), True),
        ({"allowed_github_orgs": "acme/core"}, octocat(groups=("acme",)), False),
        ({"allowed_github_orgs": "*"}, octocat(groups=("acme",)), False),
        ({"allowed_github_users": "acme"}, octocat(groups=("acme",)), False),
    ],
)
def test_github_people_by_login_organisation_and_team(
    make_settings: Callable[..., Settings],
    store: Store,
    rules: dict[str, str],
    identity: Identity,
    admitted: bool,
) -> None:
    reason = Policy(make_settings(**GITHUB, **rules), store).allowed(identity)
    assert (reason is None) is admitted


@pytest.mark.parametrize(
    ("rules", "identity", "admitted"),
    [
        ({}, person(email="ada@example.com"), False),
        ({"allowed_oidc_users": "Ada@Example.com"}, person(email="ada@example.com"), True),
        ({"allowed_oidc_users": "ada@example.com"}, person(email=None), False),
        ({"allowed_oidc_users": "ada@example.com"}, person(login="ada@example.com"), False),
        ({"allowed_oidc_users": "*@example.com"}, person(email="ada@example.com"), True),
        ({"allowed_oidc_users": "*@example.com"}, person(email="ada@evil-example.com"), False),
        ({"allowed_oidc_users": "*@example.com"}, person(email="ada@example.com@evil.com"), False),
        ({"allowed_oidc_users": "sub:u1"}, person(), True),
        ({"allowed_oidc_users": "u1"}, person(), False),
        ({"allowed_oidc_users": "*"}, person(), True),
        ({"allowed_oidc_groups": "staff"}, person(groups=("staff",)), True),
        ({"allowed_oidc_groups": "staff"}, person(groups=("staffx",)), False),
    ],
)
def test_openid_people_by_verified_email_domain_subject_and_group(
    make_settings: Callable[..., Settings],
    store: Store,
    rules: dict[str, str],
    identity: Identity,
    admitted: bool,
) -> None:
    reason = Policy(make_settings(**OIDC, **rules), store).allowed(identity)
    assert (reason is None) is admitted


def test_a_provider_that_is_switched_off_admits_nobody(
    make_settings: Callable[..., Settings], store: Store
) -> None:
    policy = Policy(make_settings(allowed_github_users="*", allowed_oidc_users="*"), store)
    assert policy.allowed(octocat()) == "sign-in with GitHub is switched off"
    assert policy.allowed(person()) == "sign-in with OpenID Connect is switched off"
    assert policy.allowed(person(provider="id-jag")) is not None
    off = Policy(make_settings(local_accounts=False, **GITHUB), store)
    assert (
        off.allowed(Identity(provider="local", subject="1", login="ada")) == "local accounts are switched off"
    )


async def test_a_local_account_counts_only_while_it_exists_and_is_enabled(
    settings: Settings, store: Store
) -> None:
    policy = Policy(settings, store)
    ada = Identity(provider="local", subject="1", login="ada")
    account = Account(name="ada", password_hash="x", created_at=0)
    assert await policy.still_allowed(ada) == "the account was removed"
    await store.put("account", "ada", account.model_dump())
    assert await policy.still_allowed(ada) is None
    await store.put("account", "ada", account.model_copy(update={"disabled": True}).model_dump())
    assert await policy.still_allowed(ada) == "the account is disabled"
