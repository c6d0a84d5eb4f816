"""Processes: started, shared, bounded, watched, ended."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from mcp_streamablehttp_proxy.server.backing import Backing
from mcp_streamablehttp_proxy.server.process import Process
from mcp_streamablehttp_proxy.settings import Server, Settings

from .support import Command, Eventually, Read, Running, Start

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
        (("cat",), "repeats its input"),
    ],
)
async def test_a_server_that_cannot_work_is_502_and_unhealthy(
    start: Start, command: tuple[str, ...], reason: str
) -> None:
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


async def test_a_banner_on_stdout_does_no_harm(start: Start, scripted: Command) -> None:
    proxy = await start(command=(*scripted, "--banner"))
    assert await (await proxy.opened()).call("echo", text="fine") == "fine"


async def test_banners_are_skipped_until_the_start_time_out(start: Start, scripted: Command) -> None:
    """However many lines, and however long they take."""
    banner = "for i in $(seq 300); do echo starting; done; sleep 0.3; echo; exec"
    proxy = await start(command=("sh", "-c", f"{banner} {' '.join(scripted)}"))
    assert await (await proxy.opened()).call("echo", text="fine") == "fine"


async def test_a_server_that_only_prints_is_ended_at_the_start_time_out(start: Start) -> None:
    proxy = await start(command=("sh", "-c", "while read l; do echo junk; done"), start_timeout=0.3)
    response = await proxy.client().post(proxy.client().initialization())
    assert response.status_code == 502
    assert "other than JSON-RPC" in response.json()["error"]["message"]
    assert (await proxy.http.get("/health")).status_code == 503


async def test_junk_between_answers_is_skipped_and_logged_in_bounds(
    start: Start, scripted: Command, caplog: pytest.LogCaptureFixture
) -> None:
    client = await (await start(command=scripted)).opened()
    for _ in range(30):
        await client.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
    await client.call("print", lines=200)
    assert await client.call("echo", text="fine") == "fine"
    assert 1 <= len([one for one in caplog.records if "not JSON-RPC" in one.message]) <= 20


CLOSES = """
import json, os, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        info = {"name": "closes", "version": "1"}
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    elif message.get("method") == "tools/call":
        os.close(FD)
        time.sleep(600)
"""


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
async def test_a_server_that_lives_on_with_a_closed_pipe_is_replaced(
    start: Start, read: Read, stream: str
) -> None:
    script = CLOSES.replace("FD", str(("stdin", "stdout").index(stream)))
    client = await (await start(command=(sys.executable, "-c", script))).opened()
    error = read(await client.post(client.tool("close")))[-1]["error"]["message"]
    assert f"closed its {stream}" in error
    assert (await client.post(PING)).status_code == 404


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_closed_pipe_is_noticed_by_either_event_loop(
    run: Callable[[Coroutine[None, None, str]], str], stream: str
) -> None:
    async def close() -> str:
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        script = f"import os, time; os.close({('stdin', 'stdout').index(stream)}); time.sleep(600)"
        server = Server(name="closes", command=(sys.executable, "-c", script))
        process = Process(server, "test", lambda line: None, ended.set_result)
        await process.start()
        return await ended

    assert run(close()) == f"closed its {stream}"


async def test_a_server_that_exits_at_once_is_named_with_its_last_words(start: Start) -> None:
    script = "import sys; print('noise', file=sys.stderr); sys.exit('No module named \x1b[31mnothing')"
    proxy = await start(Server(name="broken", alone=True, command=(sys.executable, "-c", script)))
    for _ in range(3):
        response = await proxy.client().post(proxy.client().initialization())
        assert response.status_code in (502, 503)
        message = response.json()["error"]["message"]
        assert "server broken" in message
        assert "exited with status 1: No module named  [31mnothing" in message


async def test_batched_answers_are_taken_apart(proxy: Running) -> None:
    client = await proxy.opened()
    note = '{"jsonrpc":"2.0","method":"notifications/message","params":{}}'
    line = f'[{note},{{"jsonrpc":"2.0","id":$ID,"result":{{}}}}]'
    response = await client.post(client.tool("raw", line=line), accept="application/json")
    assert response.json()["result"] == {}


async def test_a_grandchild_with_a_session_of_its_own_ends_with_its_server(
    proxy: Running, eventually: Eventually
) -> None:
    client = await proxy.opened()
    grandchild = int(await client.call("grandchild", setsid=True))
    assert running(grandchild)
    await client.delete()
    await eventually(lambda: not running(grandchild))


async def test_a_server_that_ends_when_asked_for_another_era_is_started_again(
    start: Start, scripted: Command, tmp_path: Path
) -> None:
    """Every server on the official Rust SDK before 3."""
    starts = tmp_path / "starts"
    script = f"""
import runpy, sys
open({str(starts)!r}, "a").write("x")
class Input:
    def __iter__(self):
        for line in iter(sys.__stdin__.buffer.readline, b""):
            if b"server/discover" in line:
                sys.exit("unexpected message")
            yield line
Input.buffer = property(lambda self: self)
sys.stdin = Input()
runpy.run_path({SCRIPT!r}, run_name="__main__")
"""
    proxy = await start(command=(sys.executable, "-c", script), wait=0)
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    meta["io.modelcontextprotocol/clientCapabilities"] = {}  # type: ignore[assignment]
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    body["params"] = {"name": "echo", "arguments": {"text": "hi"}, "_meta": meta}
    headers = {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": "echo"}
    response = await proxy.client().post(body, **headers)
    assert response.json()["result"]["content"][0]["text"] == "hi"
    assert starts.read_text() == "xx"
    assert (await proxy.http.get("/health")).status_code == 200
    other = {**body, "id": 2}
    other["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {"roots": {}}  # type: ignore[index]
    assert (await proxy.client().post(other, **headers)).status_code == 200
    assert starts.read_text() == "xxx", "it is not asked again"
    assert await (await proxy.opened()).call("echo", text="there") == "there"


async def test_a_server_that_does_not_answer_initialize_is_502(start: Start) -> None:
    proxy = await start(command=("sleep", "60"), start_timeout=0.2)
    client = proxy.client()
    response = await client.post(client.initialization())
    assert response.status_code == 502
    assert "did not answer initialize within 0.2 s" in response.json()["error"]["message"]


async def test_a_killed_child_answers_what_was_pending(proxy: Running, read: Read) -> None:
    client = await proxy.opened()
    waiting = asyncio.create_task(client.post(client.tool("hang")))
    while "hang" not in await client.call("seen"):
        await asyncio.sleep(0.01)
    os.kill(int(await client.call("pid")), signal.SIGKILL)
    error = read(await waiting)[-1]["error"]
    assert "server default was ended by SIGKILL" in error["message"]
    assert (await client.post(PING)).status_code == 404
    client.session = None
    await client.initialize()
    assert await client.call("echo", text="again") == "again"


@pytest.mark.parametrize("line", ["not json at all", '{"jsonrpc":"2.0","id":$ID,"result":NaN}'])
async def test_a_broken_line_is_no_end(proxy: Running, read: Read, line: str) -> None:
    client = await proxy.opened()
    waiting = asyncio.create_task(client.post(client.tool("raw", line=line)))
    if "$ID" in line:
        assert "not valid JSON-RPC" in read(await waiting)[-1]["error"]["message"]
    assert await client.call("echo", text="alive") == "alive"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_each_session_has_its_own_child(proxy: Running, eventually: Eventually) -> None:
    one, two = await proxy.opened(), await proxy.opened()
    assert await one.call("pid") != await two.call("pid")
    pid = int(await one.call("pid"))
    await one.delete()
    await eventually(lambda: not running(pid))
    assert await two.call("echo", text="here") == "here"


async def test_the_whole_process_group_ends_with_the_session(
    start: Start, scripted: Command, eventually: Eventually
) -> None:
    proxy = await start(command=(*scripted, "--stubborn"), stop_timeout=0.5)
    client = await proxy.opened()
    pid, grandchild = int(await client.call("pid")), int(await client.call("grandchild"))
    assert running(grandchild)
    await client.delete()
    await eventually(lambda: not running(pid) and not running(grandchild))


async def test_a_grandchild_dies_with_a_crashed_child(proxy: Running, eventually: Eventually) -> None:
    client = await proxy.opened()
    grandchild = int(await client.call("grandchild"))
    os.kill(int(await client.call("pid")), signal.SIGKILL)
    await eventually(lambda: not running(grandchild))


async def test_children_are_bounded_px8(start: Start) -> None:
    proxy = await start(max_children=2, wait=0.2)
    first = await proxy.opened()
    await proxy.opened()
    refused = await proxy.client().post(proxy.client().initialization())
    assert refused.status_code == 503
    assert "limit of 2 children" in refused.json()["error"]["message"]
    assert proxy.alive() == 2
    await first.delete()
    await proxy.opened()


async def test_an_idle_process_is_ended_for_who_comes(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most clients never send DELETE. The next request of the one that went gets 404."""
    proxy = await start(max_children=2, wait=20, settings=Settings(trust_identity=True))
    ada, eve = await proxy.opened(x_user_id="ada"), await proxy.opened(x_user_id="eve")
    monkeypatch.setattr("mcp_streamablehttp_proxy.session.sessions.LEAST_IDLE", 0)
    async with ada.listen(), eve.listen():
        newer = await proxy.opened(x_user_id="eve")
        assert (await eve.post(PING)).status_code == 404, "the comer's own first"
        assert (await ada.post(PING)).status_code == 200
        hanging = asyncio.create_task(newer.post(newer.tool("hang")))
        while "hang" not in await newer.call("seen"):
            await asyncio.sleep(0.01)
        await proxy.opened(x_user_id="kim")
        assert (await ada.post(PING)).status_code == 404
        assert not hanging.done(), "one with an open call is not idle"
        hanging.cancel()


async def test_a_user_has_a_share_of_the_processes(start: Start) -> None:
    proxy = await start(max_children=4, wait=0.2, settings=Settings(trust_identity=True))
    for _ in range(2):
        await proxy.opened(x_user_id="ada")
    client = proxy.client(x_user_id="ada")
    refused = await client.post(client.initialization())
    assert refused.status_code == 503
    assert "you have 2 processes" in refused.json()["error"]["message"]
    await proxy.opened(x_user_id="eve")


async def test_who_has_its_share_makes_room_of_its_own(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = await start(max_children=4, wait=20, settings=Settings(trust_identity=True))
    eve = await proxy.opened(x_user_id="eve")
    first, second = [await proxy.opened(x_user_id="ada") for _ in range(2)]
    monkeypatch.setattr("mcp_streamablehttp_proxy.session.sessions.LEAST_IDLE", 0)
    await proxy.opened(x_user_id="ada")
    assert (await first.post(PING)).status_code == 404
    assert (await second.post(PING)).status_code == 200
    assert (await eve.post(PING)).status_code == 200, "though she was idle for longest"


async def test_a_user_has_a_share_of_the_sessions(start: Start) -> None:
    proxy = await start(max_sessions=8, isolation="shared", settings=Settings(trust_identity=True))
    for _ in range(2):
        await proxy.opened(x_user_id="ada")
    client = proxy.client(x_user_id="ada")
    refused = await client.post(client.initialization())
    assert refused.status_code == 503
    assert "you have 2 sessions" in refused.json()["error"]["message"]
    await proxy.opened(x_user_id="eve")


async def test_a_session_waits_for_a_free_child(start: Start) -> None:
    proxy = await start(max_children=1, wait=20)
    first = await proxy.opened()
    second = asyncio.create_task(proxy.opened())
    await asyncio.sleep(0.1)
    assert not second.done()
    await first.delete()
    await second


async def test_health_starts_nothing_px8(proxy: Running) -> None:
    for _ in range(3):
        response = await proxy.http.get("/health")
        assert (response.status_code, response.json()) == (200, {"status": "healthy"})
    assert proxy.alive() == 0


async def test_a_missing_command_is_known_before_anyone_calls(start: Start) -> None:
    proxy = await start(command=("no-such-program-here",))
    response = await proxy.http.get("/health")
    assert response.status_code == 503
    assert "no-such-program-here is not installed" in response.json()["reason"]


async def test_health_recovers_with_the_server(start: Start, tmp_path: Path, scripted: Command) -> None:
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


async def test_a_shared_child_that_nobody_uses_is_ended(start: Start, eventually: Eventually) -> None:
    proxy = await start(isolation="shared", idle_timeout=2.0)
    client = await proxy.opened()
    pid = int(await client.call("pid"))
    await client.delete()
    await eventually(lambda: not running(pid) and proxy.alive() == 0)


async def test_failing_starts_back_off(start: Start) -> None:
    proxy = await start(command=(sys.executable, "-c", "raise SystemExit(1)"), wait=0)
    client = proxy.client()
    assert (await client.post(client.initialization())).status_code == 502
    refused = await client.post(client.initialization())
    assert refused.status_code == 503
    assert "exited with status 1" in refused.json()["error"]["message"]


async def test_prewarmed_children_are_taken_first(start: Start, eventually: Eventually) -> None:
    proxy = await start(prewarm=2)
    await eventually(lambda: proxy.alive() == 2)
    pool = proxy.app.hub.endpoints["default"].pool
    warm = {spare.child.pid for spare in pool._spares}
    client = await proxy.opened()
    assert int(await client.call("pid")) in warm
    await eventually(lambda: proxy.alive() == 3)


async def foreseen(proxy: Running, eventually: Eventually, **headers: str) -> Backing:
    """The one spare child of a proxy, once it was opened for what two clients said alike."""
    pool = proxy.app.hub.endpoints["default"].pool
    first, second = await proxy.opened(**headers), await proxy.opened(**headers)
    await first.delete()
    await second.delete()
    await eventually(
        lambda: [spare.opening.done() for spare in pool._spares if spare.opening is not None] == [True]
    )
    return next(iter(pool._spares)).child


async def test_a_prewarmed_child_is_initialized_as_the_last_two_clients_were(
    start: Start, eventually: Eventually
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
    start: Start, eventually: Eventually
) -> None:
    proxy = await start(prewarm=1)
    child = await foreseen(proxy, eventually)
    client = proxy.client()
    await client.initialize(sampling={})
    assert int(await client.call("pid")) != child.pid
    first = json.loads(await client.call("seen"))[0]
    assert (first["method"], first["params"]["capabilities"]) == ("initialize", {"sampling": {}})
    await eventually(lambda: not running(child.pid))


async def test_a_child_prewarmed_for_a_user_was_introduced_by_the_proxy(
    start: Start, eventually: Eventually
) -> None:
    proxy = await start(isolation="user", settings=Settings(trust_identity=True), prewarm=1)
    pool = proxy.app.hub.endpoints["default"].pool
    for user in ("ada", "eve"):
        await proxy.opened(x_user_id=user)
    await eventually(lambda: [spare.purpose is not None for spare in pool._spares] == [True])
    opening = next(iter(pool._spares)).opening
    assert opening is not None
    await opening
    child = next(iter(pool._spares)).child
    third = await proxy.opened(x_user_id="ken")
    assert int(await third.call("pid")) == child.pid
    methods = [one["method"] for one in json.loads(await third.call("seen"))]
    assert methods.count("initialize") == methods.count("notifications/initialized") == 1


async def test_a_server_that_fails_when_it_is_initialized_ahead_is_not_tried_without_end(
    start: Start, eventually: Eventually, tmp_path: Path
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
    assert pool.trouble is not None
    assert "exited with status 4" in pool.trouble
    assert pool._backoff["handshake"].failures < 10


async def test_one_child_for_all(start: Start) -> None:
    proxy = await start(isolation="shared")
    one, two = await proxy.opened(), await proxy.opened()
    assert one.session != two.session
    assert await one.call("pid") == await two.call("pid")
    requests = [client.tool("echo", text=text) | {"id": 1} for client, text in ((one, "a"), (two, "b"))]
    answers = await asyncio.gather(one.post(requests[0]), two.post(requests[1]))
    assert [a.json()["result"]["content"][0]["text"] for a in answers] == ["a", "b"]
    await one.delete()
    assert await two.call("echo", text="stays") == "stays"


async def test_one_child_for_each_user(start: Start) -> None:
    proxy = await start(isolation="user", settings=Settings(trust_identity=True))
    ada, again, eve = [await proxy.opened(x_user_id=user) for user in ("ada", "ada", "eve")]
    assert await ada.call("pid") == await again.call("pid")
    assert await ada.call("pid") != await eve.call("pid")


async def test_shared_progress_tokens_do_not_mix(start: Start, read: Read) -> None:
    proxy = await start(isolation="shared")
    one, two = await proxy.opened(), await proxy.opened()
    answers = await asyncio.gather(
        *(client.post(client.tool("progress", {"progressToken": "same"})) for client in (one, two))
    )
    for answer in answers:
        *progress, _ = read(answer)
        assert [p["params"]["progress"] for p in progress] == [1, 2]
        assert {p["params"]["progressToken"] for p in progress} == {"same"}


async def test_what_belongs_to_nobody_is_shown_to_nobody(start: Start, read: Read) -> None:
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


async def test_a_capability_that_a_client_lacks_is_not_asked_for(start: Start, read: Read) -> None:
    proxy = await start(isolation="shared")
    client = await proxy.opened()
    asked = read(await client.post(client.tool("ask", method="sampling/createMessage")))
    assert "did not declare the capability sampling" in asked[-1]["result"]["content"][0]["text"]


async def test_updates_go_to_those_who_subscribed(start: Start) -> None:
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


async def test_a_shared_child_that_dies_is_started_again_in_the_same_session(
    start: Start, read: Read
) -> None:
    proxy = await start(isolation="shared")
    client = await proxy.opened()
    died = read(await client.post(client.tool("die")))
    assert "server default exited with status 3" in died[-1]["error"]["message"]
    assert await client.call("echo", text="back") == "back"


async def test_working_directory_and_arguments(start: Start, scripted: Command, tmp_path: Path) -> None:
    proxy = await start(command=(*scripted, "--port", "1", "--", "-x"), cwd=str(tmp_path))
    told = json.loads(await (await proxy.opened()).call("argv"))
    assert told == {"argv": ["--port", "1", "--", "-x"], "cwd": str(tmp_path)}


async def test_memory_in_use_is_limited(start: Start, read: Read) -> None:
    client = await (await start(memory=200 * 1024 * 1024, idle_timeout=5.0)).opened()
    assert await client.call("allocate", size=1000) == "1000"
    ended = read(await client.post(client.tool("allocate", size=400_000_000, keep=True)))[-1]
    assert "used more than 200 MiB of memory" in ended["error"]["message"]


async def test_memory_reserved_and_not_used_is_not_counted(start: Start) -> None:
    """Node reserves gigabytes of address space."""
    client = await (await start(memory=200 * 1024 * 1024)).opened()
    assert await client.call("reserve", size=4_000_000_000) == "reserved"


async def test_processor_time_is_limited(start: Start, read: Read) -> None:
    client = await (await start(cpu=1)).opened()
    ended = read(await client.post(client.tool("spin")))[-1]["error"]["message"]
    assert re.search("was ended by SIG(XCPU|KILL)", ended)


async def test_a_flood_on_stderr_is_logged_in_bounds(
    proxy: Running, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    caplog.set_level("INFO")
    client = await proxy.opened()
    await client.call("stderr", size=400_000)
    await client.delete()
    await eventually(lambda: [r for r in caplog.records if r.message == "stderr lines dropped"])
    dropped = sum(vars(r)["lines"] for r in caplog.records if r.message == "stderr lines dropped")
    logged = len([r for r in caplog.records if r.message == "stderr"])
    assert dropped + logged == 4000
    assert logged < 2000


async def test_stderr_goes_to_the_log_with_the_session(
    proxy: Running, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    caplog.set_level("INFO")
    client = await proxy.opened()
    await client.call("stderr", size=100)
    await eventually(lambda: [r for r in caplog.records if r.message == "stderr"])
    record: Any = next(r for r in caplog.records if r.message == "stderr")  # with attributes from `extra`
    assert client.session is not None
    assert (record.server, record.session, record.text) == ("default", client.session[:8], "e" * 99)
