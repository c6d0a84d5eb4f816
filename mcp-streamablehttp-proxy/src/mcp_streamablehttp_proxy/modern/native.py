"""A child that speaks 2026-07-28: messages pass as they came."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from .. import jsonrpc
from ..call import ChildError
from ..jsonrpc import Message
from .answer import STATUS, Answer
from .discover import only_served_versions
from .envelope import SUBSCRIPTION_ID, Envelope
from .errand import Errand
from .listening import final_result
from .party import Party
from .translate import error_code

LISTEN: Final = "subscriptions/listen"


async def pass_on(
    answer: Answer, message: Message, envelope: Envelope, party: Party, patience: float
) -> None:
    """Answer one request. Raises ChildError while nothing was sent."""
    listening = message.method == LISTEN
    errand = Errand(message, envelope)
    party.start(message, errand, listening=listening)
    reason = "the client has gone"
    try:
        response = await errand.attend(answer, None if listening else patience)
    except TimeoutError:
        reason = "did not answer in time"
        text = f"server {party.child.server.name} did not answer within {patience:g} s"
        await answer.finish(jsonrpc.error(errand.id, jsonrpc.INTERNAL_ERROR, text))
        return
    except ChildError as problem:
        await broken(answer, errand, problem)
        return
    finally:
        party.end(errand, reason)
    if response is None:
        if errand.ended:
            await answer.begin()
            await answer.finish(final_result(errand.id))
        return
    if response.error is not None:
        await answer.finish(response.with_id(errand.id), STATUS.get(error_code(response.error), 200))
        return
    if message.method == "server/discover" and response.result is not None:
        result = only_served_versions(response.result)
        if result is not response.result:
            response = with_result(response, result)
    elif listening and response.result is not None:
        response = with_result(response, _retagged(response.result, errand.id))
    await answer.finish(response.with_id(errand.id))


async def broken(answer: Answer, errand: Errand, problem: ChildError) -> None:
    """The server ended: an error if there is a stream for it, else an error of HTTP."""
    if not answer.streaming:
        raise problem
    if errand.method == LISTEN:
        await answer.cut()
    else:
        await answer.finish(jsonrpc.error(errand.id, jsonrpc.INTERNAL_ERROR, str(problem)))


def with_result(response: Message, result: Raw) -> Message:
    members = {**response.members, "result": result}
    return Message(jsonrpc.dump(members), response.kind, response.id, "", members)


def _retagged(result: Raw, id_: bytes) -> Raw:
    members = jsonrpc.object_members(result)
    meta = {**jsonrpc.object_members(members.get("_meta")), SUBSCRIPTION_ID: id_}
    return Raw(jsonrpc.dump({**members, "_meta": jsonrpc.dump(meta)}))
