"""Processes: started, shared, bounded, watched, ended."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp_streamablehttp_proxy.settings import Settings

SCRIPT = str(Path(__file__).parent / "servers" / "scripted.py")
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no-such-program-here",), "no-such-program-here"),
        ((sys.executable, "-c", "raise SystemExit(7)"), "exited with status 7"),
        ((sys.executable, "-c", "print('junk')"), "exited with status 0"),
        (("sh", "-c", "while read l; do echo junk; done"), "other than JSON-RPC"),
        (("cat",), "repeats its input"),
    ],
)
async def test_a_server_that_cannot_work_is_502_and_unhealthy(
    start: Any, command: tuple[str, ...], reason: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr("mcp_streamablehttp_proxy.child._JUNK_PATIENCE", 0.2)
    proxy = await start(command=command)
    client = proxy.client()
    response = await client.post(client.initialization())
    assert response.status_code == 502
    error = response.json()["error"]
    assert "server default" in error["message"]
    assert reason in error["message"]
    health = await proxy.http.get("/health")
    assert health.status_code == 503
    assert reason in health.json()["reason"]


async def test_a_banner_on_stdout_does_no_harm(start: Any, scripted: Any) -> None:
    proxy = await start(command=(*scripted, "--banner"))
    assert await (await proxy.opened()).call("echo", text="fine") == "fine"


async def test_a_server_that_does_not_answer_initialize_is_502(start: Any) -> None:
    proxy = await start(command=("sleep", "60"), start_timeout=0.2)
    client = proxy.client()
    response = await client.post(client.initialization())
    assert response.status_code == 502
    assert "did not answer initialize within 0.2 s" in response.json()["error"]["message"]


async def test_a_killed_child_answers_what_was_pending(proxy: Any, read: Any) -> None:
    client = await proxy.opened()
    waiting = asyncio.create_task(client.post(client.tool("hang")))
    os.kill(int(await client.call("pid")), signal.SIGKILL)
    error = read(await waiting)[-1]["error"]
    assert "server default was ended by SIGKILL" in error["message"]
    assert (await client.post(PING)).status_code == 404
    client.session = None
    await client.initialize()
    assert await client.call("echo", text="again") == "again"


@pytest.mark.parametrize("line", ["not json at all", '{"jsonrpc":"2.0","id":$ID,"result":NaN}'])
async def test_a_broken_line_is_no_end(proxy: Any, read: Any, line: str) -> None:
    client = await proxy.opened()
    waiting = asyncio.create_task(client.post(client.tool("raw", line=line)))
    if "$ID" in line:
        assert "not valid JSON-RPC" in read(await waiting)[-1]["error"]["message"]
    assert await client.call("echo", text="alive") == "alive"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_each_session_has_its_own_child(proxy: Any, eventually: Any) -> None:
    one, two = await proxy.opened(), await proxy.opened()
    assert await one.call("pid") != await two.call("pid")
    pid = int(await one.call("pid"))
    await one.delete()
    await eventually(lambda: not running(pid))
    assert await two.call("echo", text="here") == "here"


async def test_the_whole_process_group_ends_with_the_session(
    start: Any, scripted: Any, eventually: Any
) -> None:
    proxy = await start(command=(*scripted, "--stubborn"), stop_timeout=0.5)
    client = await proxy.opened()
    pid, grandchild = int(await client.call("pid")), int(await client.call("grandchild"))
    assert running(grandchild)
    await client.delete()
    await eventually(lambda: not running(pid) and not running(grandchild))


async def test_a_grandchild_dies_with_a_crashed_child(proxy: Any, eventually: Any) -> None:
    client = await proxy.opened()
    grandchild = int(await client.call("grandchild"))
    os.kill(int(await client.call("pid")), signal.SIGKILL)
    await eventually(lambda: not running(grandchild))


async def test_children_are_bounded_px8(start: Any) -> None:
    proxy = await start(max_children=2, wait=0.2)
    first = await proxy.opened()
    await proxy.opened()
    refused = await proxy.client().post(proxy.client().initialization())
    assert refused.status_code == 503
    assert "limit of 2 children" in refused.json()["error"]["message"]
    assert proxy.alive() == 2
    await first.delete()
    await proxy.opened()


async def test_a_session_waits_for_a_free_child(start: Any) -> None:
    proxy = await start(max_children=1, wait=20)
    first = await proxy.opened()
    second = asyncio.create_task(proxy.opened())
    await asyncio.sleep(0.1)
    assert not second.done()
    await first.delete()
    await second


async def test_health_starts_nothing_px8(proxy: Any) -> None:
    for _ in range(3):
        response = await proxy.http.get("/health")
        assert (response.status_code, response.json()) == (200, {"status": "healthy"})
    assert proxy.alive() == 0


async def test_a_missing_command_is_known_before_anyone_calls(start: Any) -> None:
    proxy = await start(command=("no-such-program-here",))
    response = await proxy.http.get("/health")
    assert response.status_code == 503
    assert "no-such-program-here is not installed" in response.json()["reason"]


async def test_health_recovers_with_the_server(start: Any, tmp_path: Path, scripted: Any) -> None:
    script = tmp_path / "server"
    script.write_text("#!/bin/sh\nexit 9\n")
    script.chmod(0o755)
    proxy = await start(command=(str(script),), wait=20)
    client = proxy.client()
    assert (await client.post(client.initialization())).status_code == 502
    assert (await proxy.http.get("/health")).status_code == 503
    script.write_text(f"#!/bin/sh\nexec {scripted[0]} {scripted[1]}\n")
    await client.initialize()
    assert (await proxy.http.get("/health")).status_code == 200


async def test_a_shared_child_that_nobody_uses_is_ended(start: Any, eventually: Any) -> None:
    proxy = await start(isolation="shared", idle_timeout=0.3)
    client = await proxy.opened()
    pid = int(await client.call("pid"))
    await client.delete()
    await eventually(lambda: not running(pid) and proxy.alive() == 0)


async def test_failing_starts_back_off(start: Any) -> None:
    proxy = await start(command=(sys.executable, "-c", "raise SystemExit(1)"), wait=0)
    client = proxy.client()
    assert (await client.post(client.initialization())).status_code == 502
    refused = await client.post(client.initialization())
    assert refused.status_code == 503
    assert "exited with status 1" in refused.json()["error"]["message"]


async def test_prewarmed_children_are_taken_first(start: Any, eventually: Any) -> None:
    proxy = await start(prewarm=2)
    await eventually(lambda: proxy.alive() == 2)
    pool = proxy.app.hub.endpoints["default"].pool
    warm = {spare.child.pid for spare in pool._spare}
    client = await proxy.opened()
    assert int(await client.call("pid")) in warm
    await eventually(lambda: proxy.alive() == 3)


async def foreseen(proxy: Any, eventually: Any, **headers: str) -> Any:
    """The one spare child of a proxy, once it was opened for what two clients said alike."""
    pool = proxy.app.hub.endpoints["default"].pool
    first, second = await proxy.opened(**headers), await proxy.opened(**headers)
    await first.delete()
    await second.delete()
    await eventually(
        lambda: [spare.opening.done() for spare in pool._spare if spare.opening is not None] == [True]
    )
    return pool._spare[0].child


async def test_a_prewarmed_child_is_initialized_as_the_last_two_clients_were(
    start: Any, eventually: Any
) -> None:
    proxy = await start(prewarm=1)
    child = await foreseen(proxy, eventually)
    client = proxy.client()
    introduced = await client.initialize()
    assert introduced["serverInfo"]["name"] == "scripted"
    assert int(await client.call("pid")) == child.pid
    seen = json.loads(await client.call("seen"))
    assert [one["method"] for one in seen][:2] == ["initialize", "notifications/initialized"]
    assert seen[0]["params"] == client.initialization()["params"]


async def test_a_client_that_says_something_else_gets_a_child_of_its_own_words(
    start: Any, eventually: Any
) -> None:
    proxy = await start(prewarm=1)
    child = await foreseen(proxy, eventually)
    client = proxy.client()
    await client.initialize(sampling={})
    assert int(await client.call("pid")) != child.pid
    first = json.loads(await client.call("seen"))[0]
    assert (first["method"], first["params"]["capabilities"]) == ("initialize", {"sampling": {}})
    await eventually(lambda: not running(child.pid))


async def test_a_child_prewarmed_for_a_user_was_introduced_by_the_proxy(start: Any, eventually: Any) -> None:
    proxy = await start(isolation="user", settings=Settings(trust_identity=True), prewarm=1)
    pool = proxy.app.hub.endpoints["default"].pool
    for user in ("ada", "eve"):
        await proxy.opened(x_user_id=user)
    await eventually(lambda: [spare.purpose is not None for spare in pool._spare] == [True])
    await pool._spare[0].opening
    child = pool._spare[0].child
    third = await proxy.opened(x_user_id="ken")
    assert int(await third.call("pid")) == child.pid
    methods = [one["method"] for one in json.loads(await third.call("seen"))]
    assert methods.count("initialize") == methods.count("notifications/initialized") == 1


async def test_a_server_that_fails_when_it_is_initialized_ahead_is_not_tried_without_end(
    start: Any, eventually: Any, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    script = (
        "import os, sys, runpy\n"
        f"if os.path.exists({str(broken)!r}): sys.stdin.readline(); sys.exit(4)\n"
        f"runpy.run_path({SCRIPT!r}, run_name='__main__')"
    )
    proxy = await start(command=(sys.executable, "-c", script), prewarm=1, wait=0)
    await foreseen(proxy, eventually)
    broken.touch()
    pool = proxy.app.hub.endpoints["default"].pool
    await proxy.opened()
    await eventually(lambda: pool.trouble is not None)
    assert "exited with status 4" in pool.trouble
    assert pool._failures < 10


async def test_one_child_for_all(start: Any) -> None:
    proxy = await start(isolation="shared")
    one, two = await proxy.opened(), await proxy.opened()
    assert one.session != two.session
    assert await one.call("pid") == await two.call("pid")
    requests = [client.tool("echo", text=text) | {"id": 1} for client, text in ((one, "a"), (two, "b"))]
    answers = await asyncio.gather(one.post(requests[0]), two.post(requests[1]))
    assert [a.json()["result"]["content"][0]["text"] for a in answers] == ["a", "b"]
    await one.delete()
    assert await two.call("echo", text="stays") == "stays"


async def test_one_child_for_each_user(start: Any) -> None:
    proxy = await start(isolation="user", settings=Settings(trust_identity=True))
    ada, again, eve = [await proxy.opened(x_user_id=user) for user in ("ada", "ada", "eve")]
    assert await ada.call("pid") == await again.call("pid")
    assert await ada.call("pid") != await eve.call("pid")


async def test_shared_progress_tokens_do_not_mix(start: Any, read: Any) -> None:
    proxy = await start(isolation="shared")
    one, two = await proxy.opened(), await proxy.opened()
    answers = await asyncio.gather(
        *(client.post(client.tool("progress", {"progressToken": "same"})) for client in (one, two))
    )
    for answer in answers:
        *progress, _ = read(answer)
        assert [p["params"]["progress"] for p in progress] == [1, 2]
        assert {p["params"]["progressToken"] for p in progress} == {"same"}


async def test_what_belongs_to_nobody_is_shown_to_nobody(start: Any, read: Any) -> None:
    """A shared child whose calls are of two users asks something: it is refused."""
    proxy = await start(isolation="shared")
    one, two = await proxy.opened(), await proxy.opened()
    hanging = asyncio.create_task(one.post(one.tool("hang")))
    while "hang" not in await two.call("seen"):
        await asyncio.sleep(0.01)
    asked = read(await two.post(two.tool("ask", method="elicitation/create")))
    assert len(asked) == 1
    assert "no client that this request could belong to" in asked[0]["result"]["content"][0]["text"]
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


async def test_a_capability_that_a_client_lacks_is_not_asked_for(start: Any, read: Any) -> None:
    proxy = await start(isolation="shared")
    client = await proxy.opened()
    asked = read(await client.post(client.tool("ask", method="sampling/createMessage")))
    assert "did not declare the capability sampling" in asked[-1]["result"]["content"][0]["text"]


async def test_updates_go_to_those_who_subscribed(start: Any) -> None:
    proxy = await start(isolation="shared")
    one, two = await proxy.opened(), await proxy.opened()
    subscribe = {"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "test://x"}}
    await one.post(subscribe)
    await two.post(subscribe)
    await two.post(subscribe | {"method": "resources/unsubscribe"})
    assert "unsubscribe" not in await one.call("seen")
    async with one.listen() as hers, two.listen() as theirs:
        await one.call("updated", uri="test://x")
        await one.call("changed")
        assert (await hers.message())["method"] == "notifications/resources/updated"
        assert (await theirs.message())["method"] == "notifications/tools/list_changed"


async def test_a_shared_child_that_dies_is_started_again_in_the_same_session(start: Any, read: Any) -> None:
    proxy = await start(isolation="shared")
    client = await proxy.opened()
    died = read(await client.post(client.tool("die")))
    assert "server default exited with status 3" in died[-1]["error"]["message"]
    assert await client.call("echo", text="back") == "back"


async def test_working_directory_and_arguments(start: Any, scripted: Any, tmp_path: Path) -> None:
    proxy = await start(command=(*scripted, "--port", "1", "--", "-x"), cwd=str(tmp_path))
    told = json.loads(await (await proxy.opened()).call("argv"))
    assert told == {"argv": ["--port", "1", "--", "-x"], "cwd": str(tmp_path)}


async def test_memory_is_limited(start: Any) -> None:
    proxy = await start(memory=1024 * 1024 * 1024)
    client = await proxy.opened()
    assert await client.call("allocate", size=2_000_000_000) == "MemoryError"
    assert await client.call("allocate", size=1000) == "1000"


async def test_processor_time_is_limited(start: Any, read: Any) -> None:
    client = await (await start(cpu=1)).opened()
    ended = read(await client.post(client.tool("spin")))[-1]["error"]["message"]
    assert re.search("was ended by SIG(XCPU|KILL)", ended)


async def test_stderr_goes_to_the_log_with_the_session(proxy: Any, caplog: Any, eventually: Any) -> None:
    caplog.set_level("INFO")
    client = await proxy.opened()
    await client.call("stderr", size=100)
    await eventually(lambda: [r for r in caplog.records if r.message == "stderr"])
    record = next(r for r in caplog.records if r.message == "stderr")
    assert (record.server, record.session, record.text) == ("default", client.session, "e" * 99)
