"""Local accounts: hashing, throttling, no enumeration, and what the command line does with them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from mcp_oauth_dynamicclient.errors import AccessDeniedError, TooManyRequestsError
from mcp_oauth_dynamicclient.login import local


async def sign_in_page(place: Any, visitor: Any) -> Any:
    return await visitor.approve(await visitor.get(place.url()))


async def test_a_wrong_password_asks_again_and_keeps_the_name(place: Any, visitor: Any, web: Any) -> None:
    page = await visitor.sign_in(await sign_in_page(place, visitor), password="wrong password")
    assert page.status_code == 403
    assert local.REFUSED in page.text
    assert web.forms(page)[0].values["username"] == "ada"
    assert "code" in web.answer(await visitor.sign_in(page))


async def test_an_unknown_name_and_a_wrong_password_look_the_same(place: Any, visitor: Any) -> None:
    page = await sign_in_page(place, visitor)
    unknown = await visitor.sign_in(page, name="nobody")
    wrong = await visitor.sign_in(page, password="wrong password")
    assert unknown.status_code == wrong.status_code
    assert unknown.text.replace("nobody", "ada") == wrong.text


async def test_an_unknown_name_costs_a_hash_too(place: Any, monkeypatch: Any) -> None:
    checked: list[str] = []
    verify = local._verify

    async def count(stored: str, password: str) -> bool:
        checked.append(stored)
        return await verify(stored, password)

    monkeypatch.setattr(local, "_verify", count)
    with pytest.raises(AccessDeniedError):
        await local.authenticate(place.ctx, "nobody", "whatever", "192.0.2.1")
    assert len(checked) == 1
    assert checked[0].startswith("$argon2id$")


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_guessing_is_throttled_per_account_whether_it_exists_or_not(
    place: Any, clock: Any, monkeypatch: Any, name: str
) -> None:
    monkeypatch.setattr(local, "_verify", _never)
    for attempt in range(local.PER_ACCOUNT):
        with pytest.raises(AccessDeniedError):
            await local.authenticate(place.ctx, name, "guess", f"192.0.2.{attempt}")
    with pytest.raises(TooManyRequestsError):
        await local.authenticate(place.ctx, name, "guess", "198.51.100.1")
    clock.advance(local.WINDOW + 1)
    with pytest.raises(AccessDeniedError):
        await local.authenticate(place.ctx, name, "guess", "198.51.100.1")


async def test_guessing_is_throttled_per_address(place: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(local, "_verify", _never)
    for attempt in range(local.PER_ADDRESS):
        with pytest.raises(AccessDeniedError):
            await local.authenticate(place.ctx, f"user{attempt}", "guess", "192.0.2.1")
    with pytest.raises(TooManyRequestsError):
        await local.authenticate(place.ctx, "another", "guess", "192.0.2.1")
    with pytest.raises(AccessDeniedError):
        await local.authenticate(place.ctx, "another", "guess", "192.0.2.2")


async def _never(stored: str, password: str) -> bool:
    return False


async def test_a_right_password_starts_the_count_anew(place: Any) -> None:
    for _ in range(local.PER_ACCOUNT + 5):
        identity = await local.authenticate(place.ctx, "Ada ", "correct horse battery", "192.0.2.1")
    assert identity.user_id == "local:ada"


async def test_too_many_attempts_is_a_page_with_retry_after(
    place: Any, visitor: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(local, "PER_ACCOUNT", 0)
    page = await visitor.sign_in(await sign_in_page(place, visitor))
    assert page.status_code == 429
    assert page.headers["retry-after"] == "900"
    assert "Too many attempts" in page.text


async def test_passwords_are_stored_as_argon2_only(place: Any, web: Any) -> None:
    account = await local.find(place.ctx.store, "ada")
    assert account is not None
    assert account.password_hash.startswith("$argon2id$")
    assert web.PASSWORD not in str(account)
    assert "argon2" not in repr(account)


async def test_a_disabled_account_cannot_sign_in_and_its_tokens_stop(
    place: Any, visitor: Any, web: Any
) -> None:
    done = await visitor.sign_in(await sign_in_page(place, visitor))
    token = (await place.redeem(web.answer(done)["code"])).json()["access_token"]
    assert await place.verify(token) == 200
    await local.set_disabled(place.ctx.store, "ada", True)
    assert await place.verify(token) == 401
    other = await place.visitor()
    assert local.REFUSED in (await other.sign_in(await sign_in_page(place, other))).text
    await local.set_disabled(place.ctx.store, "ada", False)
    assert await place.verify(token) == 200


async def test_a_removed_account_is_signed_out_and_its_tokens_stop(
    place: Any, visitor: Any, web: Any
) -> None:
    done = await visitor.sign_in(await sign_in_page(place, visitor))
    token = (await place.redeem(web.answer(done)["code"])).json()["access_token"]
    await local.remove_account(place.ctx.store, "ada")
    assert await place.verify(token) == 401
    assert "Password" in (await visitor.get("/account")).text
    assert [entry async for entry in place.ctx.store.list("session")] == []


async def test_a_new_password_replaces_the_old(place: Any) -> None:
    await local.set_password(place.ctx.store, "ada", "another password")
    with pytest.raises(AccessDeniedError):
        await local.authenticate(place.ctx, "ada", "correct horse battery", "192.0.2.1")
    await local.authenticate(place.ctx, "ada", "another password", "192.0.2.1")


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-a", "a" * 65, "../etc", "ä"])
async def test_unusable_names_are_refused(store: Any, name: str) -> None:
    with pytest.raises(local.AccountError):
        await local.add_account(store, name, "long enough password", now=time.time())


async def test_accounts_are_added_once_listed_and_need_a_password_of_ten(store: Any) -> None:
    with pytest.raises(local.AccountError, match="at least 10"):
        await local.add_account(store, "ada", "short", now=0)
    await local.add_account(store, "ada", "long enough password", now=0)
    with pytest.raises(local.AccountError, match="already"):
        await local.add_account(store, "ada", "long enough password", now=0)
    assert [account.name async for account in local.list_accounts(store)] == ["ada"]
    for change in (
        local.remove_account(store, "bob"),
        local.set_password(store, "bob", "long enough password"),
    ):
        with pytest.raises(local.AccountError, match="no account bob"):
            await change


async def test_with_local_accounts_off_a_password_is_not_looked_at(
    open_place: Any, github_settings: dict[str, object], web: Any
) -> None:
    place = await open_place(
        **github_settings, oidc_issuer="https://id.example", oidc_client_id="x", oidc_client_secret="y"
    )
    visitor = await place.visitor()
    page = await sign_in_page(place, visitor)
    assert "Continue with GitHub" in page.text
    assert "Continue with Single sign-on" in page.text
    assert "Password" not in page.text
    flow = web.links(page)[1].partition("flow=")[2]
    response = await visitor.http.post(
        "/login", data={"flow": flow, "username": "ada", "password": web.PASSWORD}
    )
    assert response.status_code == 400
