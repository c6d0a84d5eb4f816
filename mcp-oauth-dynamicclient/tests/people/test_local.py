"""Local accounts: hashing, throttling, no enumeration, and what the command line does with them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from mcp_oauth_dynamicclient.errors import AccessDeniedError, TooManyRequestsError
from mcp_oauth_dynamicclient.login import local
from mcp_oauth_dynamicclient.store import Store

from ..support import Clock
from .support import OpenPlace, Place, Visitor, Web


async def sign_in_page(place: Place, visitor: Visitor) -> Any:
    return await visitor.approve(await visitor.get(place.url()))


async def test_a_wrong_password_asks_again_and_keeps_the_name(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    page = await visitor.sign_in(await sign_in_page(place, visitor), password="wrong password")
    assert page.status_code == 403
    assert local.REFUSED in page.text
    assert web.forms(page)[0].values["username"] == "ada"
    assert "code" in web.answer(await visitor.sign_in(page))


async def test_an_unknown_name_and_a_wrong_password_look_the_same(place: Place, visitor: Visitor) -> None:
    page = await sign_in_page(place, visitor)
    unknown = await visitor.sign_in(page, name="nobody")
    wrong = await visitor.sign_in(page, password="wrong password")
    assert unknown.status_code == wrong.status_code
    assert unknown.text.replace("nobody", "ada") == wrong.text


async def test_an_unknown_name_costs_a_hash_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def guess(place: Place, name: str, address: str, times: int = 1, browser: str | None = None) -> None:
    for _ in range(times):
        with pytest.raises(AccessDeniedError):
            await local.authenticate(place.ctx, name, "guess", address, browser)


async def is_slowed_down(place: Place, name: str, address: str, browser: str | None = None) -> int:
    """Seconds to wait."""
    with pytest.raises(TooManyRequestsError) as caught:
        await local.authenticate(place.ctx, name, "guess", address, browser)
    return caught.value.retry_after


@pytest.fixture
def only_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checking a password takes long on purpose."""

    async def right(stored: str, password: str) -> bool:
        return password == "correct horse battery"

    monkeypatch.setattr(local, "_verify", right)


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_guessing_is_slowed_down_whether_the_account_exists_or_not(
    place: Place, clock: Clock, only_guesses: None, name: str
) -> None:
    await guess(place, name, "192.0.2.1", 5)
    assert await is_slowed_down(place, name, "192.0.2.1") == 60
    clock.advance(60)
    await guess(place, name, "192.0.2.1", 5)


async def test_wrong_passwords_from_elsewhere_lock_nobody_out(place: Place, only_guesses: None) -> None:
    for number in range(50):
        await guess(place, "ada", f"192.0.2.{number}")
    await local.authenticate(place.ctx, "ada", "correct horse battery", "198.51.100.1")


async def test_a_crowd_of_addresses_is_slowed_down_on_one_account_and_known_browsers_are_not(
    place: Place, clock: Clock, only_guesses: None
) -> None:
    for number in range(60):
        await guess(place, "ada", f"192.0.2.{number}")
    assert await is_slowed_down(place, "ada", "198.51.100.1") == 60
    await guess(place, "bob", "198.51.100.1")
    await local.authenticate(place.ctx, "ada", "correct horse battery", "198.51.100.1", "her browser")
    clock.advance(60)
    await local.authenticate(place.ctx, "ada", "correct horse battery", "198.51.100.1")


async def test_an_address_is_slowed_down_over_all_accounts(place: Place, only_guesses: None) -> None:
    for number in range(100):
        await guess(place, f"user{number}", "192.0.2.1")
    assert await is_slowed_down(place, "another", "192.0.2.1") == 3600
    await guess(place, "another", "192.0.2.2")


async def test_names_made_up_by_who_is_slowed_down_are_not_even_counted(
    place: Place, only_guesses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        await guess(place, f"user{number}", "192.0.2.1")
    counted: list[str] = []
    increment = place.ctx.store.increment

    async def count(key: str, *, window: float) -> int:
        counted.append(key)
        return await increment(key, window=window)

    monkeypatch.setattr(place.ctx.store, "increment", count)
    for number in range(50):
        assert await is_slowed_down(place, f"other{number}", "192.0.2.1") == 3600
    assert set(counted) == {"login:address:192.0.2.1:3600"}


async def test_a_known_browser_that_guesses_is_slowed_down_too(place: Place, only_guesses: None) -> None:
    await guess(place, "ada", "192.0.2.1", 10, "stolen")
    assert await is_slowed_down(place, "ada", "192.0.2.1", "stolen") == 60


async def test_a_right_password_starts_the_count_again(place: Place, only_guesses: None) -> None:
    for _ in range(6):
        await guess(place, "ada", "192.0.2.1", 4)
        identity = await local.authenticate(place.ctx, "Ada ", "correct horse battery", "192.0.2.1")
    assert identity.user_id == "local:ada"


async def test_a_browser_that_signed_in_gets_in_while_everybody_at_its_address_guesses(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    """All visitors may seem to come from one address: a tunnel, an office, a mobile network."""
    await visitor.sign_in(await sign_in_page(place, visitor))
    stranger = await place.visitor()
    page = await sign_in_page(place, stranger)
    for _ in range(5):
        assert (await stranger.sign_in(page, password="guess")).status_code == 403
    slowed = await stranger.sign_in(page)
    assert slowed.status_code == 429
    assert slowed.headers["retry-after"] == "60"
    assert "wait a minute" in slowed.text
    visitor.http.cookies.delete("mcp-session")
    again = await sign_in_page(place, visitor)
    assert (await visitor.sign_in(again, password="a typing mistake")).status_code == 403
    assert "code" in web.answer(await visitor.sign_in(again))


async def test_a_known_browser_is_known_for_its_own_account_only(place: Place, visitor: Visitor) -> None:
    await visitor.sign_in(await sign_in_page(place, visitor))
    known = next(name for name in visitor.http.cookies if "known" in name)
    await local.add_account(place.ctx.store, "eve", "long enough password", now=0)
    eve = await place.visitor()
    eve.http.cookies.set(known, visitor.http.cookies[known], domain="localhost", path="/")
    page = await sign_in_page(place, eve)
    for _ in range(5):
        await eve.sign_in(page, name="eve", password="guess")
    assert (await eve.sign_in(page, name="eve", password="guess")).status_code == 429


async def test_passwords_are_stored_as_argon2_only(place: Place, web: type[Web]) -> None:
    account = await local.find(place.ctx.store, "ada")
    assert account is not None
    assert account.password_hash.startswith("$argon2id$")
    assert web.PASSWORD not in str(account)
    assert "argon2" not in repr(account)


async def test_a_disabled_account_cannot_sign_in_and_its_tokens_stop(
    place: Place, visitor: Visitor, web: type[Web]
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
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    done = await visitor.sign_in(await sign_in_page(place, visitor))
    token = (await place.redeem(web.answer(done)["code"])).json()["access_token"]
    await local.remove_account(place.ctx.store, "ada")
    assert await place.verify(token) == 401
    assert "Password" in (await visitor.get("/account")).text
    assert [entry async for entry in place.ctx.store.list("session")] == []


async def test_a_new_password_replaces_the_old(place: Place) -> None:
    await local.set_password(place.ctx.store, "ada", "another password")
    with pytest.raises(AccessDeniedError):
        await local.authenticate(place.ctx, "ada", "correct horse battery", "192.0.2.1")
    await local.authenticate(place.ctx, "ada", "another password", "192.0.2.1")


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-a", "a" * 65, "../etc", "ä"])
async def test_unusable_names_are_refused(store: Store, name: str) -> None:
    with pytest.raises(local.AccountError):
        await local.add_account(store, name, "long enough password", now=time.time())


async def test_accounts_are_added_once_listed_and_need_a_password_of_ten(store: Store) -> None:
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
    open_place: OpenPlace, github_settings: dict[str, object], web: type[Web]
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
