"""Questions of a handshake-only child become `input_required`, and the retry goes on with the call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp_streamablehttp_proxy.settings import Settings

from ..support import Json, Start
from .support import Front, Impatient, Modern

PREFIX = "io.modelcontextprotocol/"
ADA = {"action": "accept", "content": {"name": "Ada"}}
NAME = "test_input_required_result_elicitation"


async def retry(client: Modern, name: str, first: Json, **answers: Any) -> Json:
    answer: Json = await client.ask(
        "tools/call",
        name=name,
        arguments={},
        inputResponses=answers,
        requestState=first["result"]["requestState"],
    )
    return answer


def text(answer: Json) -> str:
    content: str = answer["result"]["content"][0]["text"]
    return content


async def test_an_elicitation_is_answered_by_a_retry(translated: Modern) -> None:
    client = translated.able(elicitation={})
    first = await client.call(NAME)
    result = first["result"]
    assert result["resultType"] == "input_required"
    assert result["inputRequests"]["user_name"]["method"] == "elicitation/create"
    assert result["inputRequests"]["user_name"]["params"]["message"] == "What is your name?"
    assert result["_meta"][f"{PREFIX}serverInfo"]["name"] == "handshake-only"
    done = await retry(client, NAME, first, user_name=ADA)
    assert text(done) == "Hello, Ada!"
    assert done["id"] != first["id"]


async def test_the_call_at_the_server_is_one_and_the_same(known: Modern) -> None:
    client = known.able()
    first = await client.call(NAME)
    child = await client.child()
    (waiting,) = child.open
    assert text(await retry(client, NAME, first, user_name=ADA)) == "Hello, Ada!"
    assert waiting.settled
    assert await client.child() is child


async def test_questions_asked_together_are_put_together(translated: Modern) -> None:
    client, name = translated.able(), "test_input_required_result_multiple_inputs"
    first = await client.call(name)
    asked = first["result"]["inputRequests"]
    methods = {one["method"] for one in asked.values()}
    assert methods == {"elicitation/create", "sampling/createMessage", "roots/list"}
    some = await retry(client, name, first, user_name=ADA, client_roots={"roots": []}, extra={"x": 1})
    assert list(some["result"]["inputRequests"]) == ["greeting"], "what is missing is asked for again"
    sampled = {"role": "assistant", "content": {"type": "text", "text": "Hi"}, "model": "m"}
    assert text(await retry(client, name, some, greeting=sampled)) == "All inputs received."


async def test_one_round_may_follow_another(translated: Modern) -> None:
    client, name = translated.able(), "test_input_required_result_multi_round"
    first = await client.call(name)
    second = await retry(client, name, first, step1=ADA)
    assert second["result"]["requestState"] != first["result"]["requestState"]
    colour = {"action": "accept", "content": {"color": "red"}}
    assert text(await retry(client, name, second, step2=colour)) == "Ada likes red."


async def test_prompts_may_ask_too(translated: Modern) -> None:
    client = translated.able()
    name = "test_input_required_result_prompt"
    first = (await client.ask("prompts/get", name=name))["result"]
    answers = {"user_context": {"action": "accept", "content": {"context": "here"}}}
    done = await client.ask(
        "prompts/get", name=name, inputResponses=answers, requestState=first["requestState"]
    )
    assert "here" in done["result"]["messages"][0]["content"]["text"]


async def test_answers_may_be_given_in_advance(translated: Modern) -> None:
    client = translated.able()
    done = await client.ask("tools/call", name=NAME, inputResponses={"user_name": ADA, "unknown": {}})
    assert text(done) == "Hello, Ada!"


async def test_questions_without_names_get_them(start: Start) -> None:
    running = await start()
    client = Modern(running.http, running, capabilities={"roots": {}})
    first = (await client.call("ask", method="roots/list", id=5))["result"]
    assert list(first["inputRequests"]) == ["roots-1"]


@pytest.mark.parametrize("answers", [None, [], "x", {"user_name": 12345}, {"user_name": None}])
async def test_answers_must_be_objects(translated: Modern, answers: object) -> None:
    client = translated.able()
    body = client.request("tools/call", name=NAME, inputResponses=answers)
    response = await client.post(body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, -32602)


async def test_a_state_holds_once_for_its_own_request_only(translated: Modern) -> None:
    client = translated.able()
    first = await client.call(NAME)
    state = first["result"]["requestState"]
    answers = {"user_name": ADA}
    for name, arguments, wrong in (
        (NAME, {}, state + "-TAMPERED"),
        (NAME, {}, state[:-2]),
        (NAME, {}, ""),
        (NAME, {}, 7),
        (NAME, {"other": 1}, state),
        ("test_simple_text", {}, state),
    ):
        body = client.request(
            "tools/call", name=name, arguments=arguments, inputResponses=answers, requestState=wrong
        )
        response = await client.post(body)
        assert (response.status_code, response.json()["error"]["code"]) == (400, -32602), (name, wrong)
    assert text(await retry(client, NAME, first, user_name=ADA)) == "Hello, Ada!"
    assert (await retry(client, NAME, first, user_name=ADA))["error"]["code"] == -32602


async def test_a_state_is_nobody_elses(front: Front, settings: type[Settings]) -> None:
    client = await front("handshake", settings=settings(trust_identity=True), isolation="shared")
    ada, bob = client.able().user("ada"), client.able().user("bob")
    first = await ada.call(NAME)
    assert (await retry(bob, NAME, first, user_name=ADA))["error"]["code"] == -32602
    assert text(await retry(ada, NAME, first, user_name=ADA)) == "Hello, Ada!"


async def test_a_question_is_put_to_no_other_user(
    front: Front, settings: type[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """stdio does not say whose call asks, so while it cannot be told nobody is asked."""
    monkeypatch.setattr("mcp_streamablehttp_proxy.server.questions.PATIENCE", 0.1)
    client = await front("handshake", settings=settings(trust_identity=True), isolation="shared")
    ada, bob = client.able().user("ada"), client.able().user("bob")
    hanging = asyncio.create_task(ada.call("test_hang"))
    while await bob.text("test_running") != "1":
        await asyncio.sleep(0)
    refused = await bob.call(NAME)
    assert "it cannot be told which of them" in refused["error"]["message"]
    hanging.cancel()


async def test_a_call_is_not_asked_what_another_is_about(translated: Modern) -> None:
    """Two unconnected clients: what Alice is asked, Bob never sees."""
    alice, bob = translated.able(), translated.able()
    first = await alice.call(NAME)
    hers = await asyncio.gather(bob.call("test_simple_text"), bob.call("test_tool_with_progress"))
    assert [answer["result"]["resultType"] for answer in hers] == ["complete", "complete"]
    assert text(await retry(alice, NAME, first, user_name=ADA)) == "Hello, Ada!"


async def test_two_calls_of_one_user_are_asked_one_after_the_other(known: Modern) -> None:
    client = known.able()
    first = await client.call(NAME)
    second = asyncio.create_task(client.call(NAME))
    assert text(await retry(client, NAME, first, user_name=ADA)) == "Hello, Ada!"
    bob = {"action": "accept", "content": {"name": "Bob"}}
    assert text(await retry(client, NAME, await second, user_name=bob)) == "Hello, Bob!"


async def test_calls_of_a_server_without_state_take_processes_of_their_own(front: Front) -> None:
    client = (await front("handshake", stateless=True)).able()
    first, second = await client.call(NAME), await client.call(NAME)
    assert client.running.alive() == 2
    assert text(await retry(client, NAME, second, user_name=ADA)) == "Hello, Ada!"
    assert text(await retry(client, NAME, first, user_name=ADA)) == "Hello, Ada!"


async def test_a_call_waits_for_its_client_only_so_long(translated: Modern, impatient: Impatient) -> None:
    client = impatient(translated.able(), patience=0.2)
    first = await client.call(NAME)
    while len(client.era.parked):
        await asyncio.sleep(0.01)
    assert (await retry(client, NAME, first, user_name=ADA))["error"]["code"] == -32602
    while await client.text("test_running") != "0":
        await asyncio.sleep(0)


async def test_only_so_many_calls_wait(translated: Modern, impatient: Impatient) -> None:
    client = impatient(translated.able(), limit=1)
    await client.call(NAME)
    body = client.request("tools/call", name="test_input_required_result_sampling")
    response = await client.post(body)
    assert (response.status_code, response.json()["error"]["code"]) == (503, -32603)
    places = client.endpoint.pool._all_places()
    assert [place.idle for place in places] == [False, True], "the second call was cancelled"


async def test_clients_that_cannot_be_told_apart_answer_their_own_questions(translated: Modern) -> None:
    client, bob = translated.able(), {"action": "accept", "content": {"name": "Bob"}}
    one, other = await client.call(NAME), await client.call(NAME)
    assert text(await retry(client, NAME, other, user_name=bob)) == "Hello, Bob!"
    assert text(await retry(client, NAME, one, user_name=ADA)) == "Hello, Ada!"


async def test_a_server_that_dies_meanwhile_is_a_bad_gateway(translated: Modern) -> None:
    client = translated.able()
    first = await client.call(NAME)
    child = await client.child()
    await child.close()
    body = client.request("tools/call", name=NAME, arguments={}, requestState=first["result"]["requestState"])
    assert (await client.post(body)).status_code == 502
    assert (await client.call(NAME))["result"]["resultType"] == "input_required"


@pytest.mark.parametrize(
    ("declared", "asked"),
    [
        ({"sampling": {}}, ["sample"]),
        ({"elicitation": {}}, ["ask"]),
        ({"elicitation": {"form": {}}}, ["ask"]),
    ],
)
async def test_only_what_the_client_declared_is_asked(
    translated: Modern, declared: Json, asked: list[str]
) -> None:
    client = translated.able(**declared)
    first = await client.call("test_input_required_result_capabilities")
    assert list(first["result"]["inputRequests"]) == asked


async def test_what_needs_an_undeclared_capability_fails_with_its_name(translated: Modern) -> None:
    body = translated.request("tools/call", name="test_missing_capability")
    response = await translated.post(body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, -32021)
    assert error["data"] == {"requiredCapabilities": {"sampling": {}}}


async def test_a_needed_url_is_put_to_the_client_and_the_call_made_anew(translated: Modern) -> None:
    client, name = translated.able(), "test_url_elicitation"
    first = await client.call(name)
    (request,) = first["result"]["inputRequests"].values()
    assert request["params"] == {"mode": "url", "url": "https://example.com/", "message": "Sign in"}
    second = await retry(client, name, first, **{"elicitation-1": {"action": "accept"}})
    assert second["result"]["inputRequests"]["elicitation-1"]["params"]["message"] == "Who signed in?"
    assert text(await retry(client, name, second, **{"elicitation-1": ADA})) == "Ada signed in"


async def test_a_needed_url_needs_a_client_that_opens_urls(translated: Modern) -> None:
    client = translated.able(elicitation={})
    error = (await client.call("test_url_elicitation"))["error"]
    assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": {"elicitation": {"url": {}}}})


async def test_lists_cannot_ask(translated: Modern, impatient: Impatient) -> None:
    client = impatient(translated.able(), limit=0)
    body = client.request("tools/list", requestState="x", inputResponses=12)
    assert (await client.post(body)).status_code == 200
