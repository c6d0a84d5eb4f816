"""Bad ways to open and drop a session. Each checks that it got as far as its misdeed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Awaitable, Callable

from tests.soak.visitor import Visitor, visitor

Way = Callable[[Visitor], Awaitable[None]]


async def initialize_and_vanish(one: Visitor) -> None:
    await one.opened()


async def vanish_before_initialize_is_answered(one: Visitor) -> None:
    connection = await one.connect()
    connection.send(one.initialization())
    await one.hesitate()
    connection.cut()


async def cut_the_socket_in_mid_request(one: Visitor) -> None:
    connection = await one.opened()
    connection.send(one.call("hang"))
    await one.hesitate()
    connection.cut()


async def send_half_a_body(one: Visitor) -> None:
    connection = await one.opened()
    whole = one.call("pid")
    connection.send(whole[:-20])
    await one.hesitate()
    connection.cut()


async def send_half_a_head(one: Visitor) -> None:
    connection = await one.opened()
    connection.send(one.head("POST", 100)[:60])
    await one.hesitate()
    connection.close()


async def abandon_an_answer_that_streams(one: Visitor) -> None:
    connection = await one.opened()
    connection.send(one.call("chatter"))
    status, headers = await connection.status()
    assert (status, headers["content-type"]) == (200, "text/event-stream"), (status, headers)
    await connection.event()
    connection.cut()


async def abandon_the_standing_stream(one: Visitor) -> None:
    connection = await one.opened()
    connection.send(one.head("GET", None))
    status, _ = await connection.status()
    assert status == 200
    connection.cut()


async def leave_a_question_unanswered(one: Visitor) -> None:
    connection = await one.opened()
    connection.send(one.call("ask"))
    assert (await connection.status())[0] == 200
    await connection.event()
    connection.close()


async def delete_in_mid_call(one: Visitor) -> None:
    calling = await one.opened()
    calling.send(one.call("chatter"))
    assert (await calling.status())[0] == 200
    await calling.event()
    deleting = await one.connect()
    deleting.send(one.head("DELETE", None))
    assert (await deleting.status())[0] == 200
    await calling.end()


async def use_foreign_sessions(one: Visitor) -> None:
    connection = await one.opened()
    connection.send(one.call("pid", Mcp_Session_Id="of-nobody"))
    assert (await connection.answer())[0] == 404
    with visitor(one.port, f"{one.user}-thief") as thief:
        thief.session = one.session
        stolen = await thief.connect()
        for request in (thief.call("pid"), thief.head("DELETE", None)):
            stolen.send(request)
            assert (await stolen.answer())[0] == 404


async def kill_the_server_under_a_call(one: Visitor) -> None:
    asking = await one.opened()
    asking.send(one.call("pid"))
    _, _, body = await asking.answer()
    calling = await one.connect()
    calling.send(one.call("chatter"))
    assert (await calling.status())[0] == 200
    await calling.event()
    os.kill(int(json.loads(body)["result"]["content"][0]["text"]), signal.SIGKILL)
    assert b"SIGKILL" in await calling.end()


async def let_the_server_break_off(one: Visitor) -> None:
    connection = await one.opened()
    connection.send(one.call("break off"))
    status, _, body = await connection.answer()
    assert status == 200, (status, body)
    assert b"exited with status 3" in body


async def cut_a_stateless_call(one: Visitor) -> None:
    connection = await one.connect()
    connection.send(one.stateless("tools/call", name="hang", arguments={}))
    await one.hesitate()
    connection.cut()


async def abandon_a_subscription(one: Visitor) -> None:
    connection = await one.connect()
    connection.send(one.stateless("subscriptions/listen", notifications={"toolsListChanged": True}))
    assert (await connection.status())[0] == 200
    await connection.event()
    connection.cut()


WAYS: tuple[Way, ...] = (
    initialize_and_vanish,
    vanish_before_initialize_is_answered,
    cut_the_socket_in_mid_request,
    send_half_a_body,
    send_half_a_head,
    abandon_an_answer_that_streams,
    abandon_the_standing_stream,
    leave_a_question_unanswered,
    delete_in_mid_call,
    use_foreign_sessions,
    kill_the_server_under_a_call,
    let_the_server_break_off,
    cut_a_stateless_call,
    abandon_a_subscription,
)
