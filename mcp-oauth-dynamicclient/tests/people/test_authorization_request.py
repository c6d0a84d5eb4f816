"""Each check of an authorization request: shown before client and redirect are verified, redirected after."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .support import OpenPlace, Place, Visitor, Web


@pytest.fixture
async def place(open_place: OpenPlace, web: type[Web]) -> Place:
    """Whose client the operator knows: it is told at once."""
    place = await open_place()
    place.client = await place.preregister(web.WEB)
    return place


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_id": None}, "client_id is missing"),
        ({"client_id": "nobody"}, "does not know the client"),
        ({"redirect_uri": None}, "redirect_uri is missing"),
        ({"redirect_uri": "https://evil.example/callback"}, "not registered"),
        ({"redirect_uri": "https://client.example/callback/"}, "not registered"),
        ({"redirect_uri": "https://client.example/callback?x=1"}, "not registered"),
        ({"redirect_uri": "https://client.example/callback#x"}, "fragment"),
    ],
)
async def test_before_verification_errors_are_pages(
    place: Place, visitor: Visitor, changes: dict[str, str | None], words: str
) -> None:
    response = await visitor.http.get(place.url(**changes))
    assert response.status_code == 400
    assert response.headers["content-type"].startswith("text/html")
    assert "location" not in response.headers
    assert "refresh" not in response.headers
    assert words in response.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "o"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
        ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
        ({"request_uri": "https://client.example/request"}, "request_not_supported"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "!" * 43}, "invalid_request"),
        ({"resource": "https://elsewhere.example/mcp"}, "invalid_target"),
        ({"resource": "http://localhost:8080/time/mcp//"}, "invalid_target"),
        ({"scope": 'mcp "quoted"'}, "invalid_scope"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "surprise"}, "invalid_request"),
    ],
)
async def test_after_verification_errors_go_to_the_client_with_state_and_issuer(
    place: Place, visitor: Visitor, web: type[Web], changes: dict[str, str | None], error: str
) -> None:
    response = await visitor.http.get(place.url(**changes))
    assert response.status_code == 303
    assert response.headers["location"].startswith(web.WEB + "?")
    told = web.answer(response)
    assert told["error"] == error
    assert told["error_description"]
    assert told["state"] == "the client's state"
    assert told["iss"] == place.issuer


@pytest.mark.parametrize("name", ["code_challenge", "scope", "state", "response_type"])
async def test_a_repeated_parameter_is_refused(
    place: Place, visitor: Visitor, web: type[Web], name: str
) -> None:
    response = await visitor.http.get(f"{place.url(scope='mcp')}&{name}=again")
    told = web.answer(response)
    assert told["error"] == "invalid_request"
    assert ("state" in told) == (name != "state")


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_a_repeated_client_or_redirect_is_shown_and_not_followed(
    place: Place, visitor: Visitor, web: type[Web], name: str
) -> None:
    value = {"client_id": place.client.client_id, "redirect_uri": web.WEB}[name]
    response = await visitor.http.get(f"{place.url()}&{urlencode({name: value})}")
    assert response.status_code == 400
    assert "location" not in response.headers


async def test_two_servers_at_once_are_refused(place: Place, visitor: Visitor, web: type[Web]) -> None:
    other = urlencode({"resource": f"{place.issuer}/echo/mcp"})
    assert web.answer(await visitor.http.get(f"{place.url()}&{other}"))["error"] == "invalid_target"


async def test_require_resource_refuses_a_request_without_one(open_place: OpenPlace, web: type[Web]) -> None:
    place = await open_place(require_resource=True)
    place.client = await place.preregister(web.WEB)
    response = await (await place.visitor()).http.get(place.url(resource=None))
    assert web.answer(response)["error"] == "invalid_target"


async def test_a_client_without_the_code_grant_is_refused(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    registration = await place.ctx.clients.preregister(
        {
            "client_name": "Machine",
            "redirect_uris": [web.WEB],
            "grant_types": ["client_credentials"],
            "response_types": [],
            "token_endpoint_auth_method": "client_secret_basic",
        }
    )
    response = await visitor.http.get(place.url(registration.client, redirect_uri=web.WEB))
    shown_or_told = response.text if response.status_code == 400 else web.answer(response)["error"]
    assert "unauthorized_client" in shown_or_told or "not registered" in shown_or_told


async def test_any_port_on_loopback_and_nothing_else_differs(place: Place, visitor: Visitor) -> None:
    client = await place.register("http://127.0.0.1:1/callback")
    for uri, status in [
        ("http://127.0.0.1:65535/callback", 200),
        ("http://127.0.0.1/callback", 200),
        ("http://localhost:1/callback", 400),
        ("http://127.0.0.1:1/other", 400),
        ("https://127.0.0.1:1/callback", 400),
    ]:
        assert (await visitor.http.get(place.url(client, redirect_uri=uri))).status_code == status, uri


async def test_unknown_scopes_and_parameters_are_ignored(place: Place, visitor: Visitor) -> None:
    page = await visitor.http.get(place.url(scope="openid profile email mcp", login_hint="ada", audience="x"))
    assert page.status_code == 200


async def test_the_answer_is_appended_to_a_redirect_that_has_a_query(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    client = await place.register("https://client.example/callback?tenant=1")
    response = await visitor.submit(await visitor.get(place.url(client)), decision="deny")
    assert response.headers["location"].startswith(
        "https://client.example/callback?tenant=1&error=access_denied&"
    )


async def test_a_state_with_every_kind_of_character_comes_back_as_it_was(
    place: Place, visitor: Visitor, web: type[Web]
) -> None:
    state = "a&b=c;d #é\r\n%00\"'<>+"
    response = await visitor.submit(await visitor.get(place.url(state=state)), decision="deny")
    assert web.answer(response)["state"] == state
    assert web.query(response.headers["location"]).keys() == {"error", "error_description", "state", "iss"}


async def test_without_state_none_is_returned(place: Place, visitor: Visitor, web: type[Web]) -> None:
    assert "state" not in web.answer(await visitor.http.get(place.url(state=None, response_type="token")))


async def test_the_store_being_away_is_a_page_with_503(
    place: Place, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mcp_oauth_dynamicclient.errors import StoreUnavailableError

    async def away(*_: object) -> None:
        raise StoreUnavailableError

    monkeypatch.setattr(place.ctx.clients, "find", away)
    response = await visitor.http.get(place.url())
    assert response.status_code == 503
    assert response.headers["content-type"].startswith("text/html")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["client_id", "redirect_uri", "state", "scope", "resource", "response_type", "prompt", "x"]
            ),
            st.text(max_size=40),
        ),
        max_size=6,
    )
)
def test_whatever_is_asked_nothing_breaks_and_nobody_is_sent_away(
    parameters: list[tuple[str, str]],
) -> None:
    """Without a registered client and redirect there is never a redirect, and never a server error."""
    import asyncio

    from mcp_oauth_dynamicclient.authorize.checks import check
    from mcp_oauth_dynamicclient.authorize.request import UnverifiedError

    class Clients:
        async def find(self, client_id: str) -> None:
            return None

    class Ctx:
        clients = Clients()

    with pytest.raises(UnverifiedError):
        asyncio.run(check(Ctx(), parameters))  # type: ignore[arg-type]  # only the clients are asked
