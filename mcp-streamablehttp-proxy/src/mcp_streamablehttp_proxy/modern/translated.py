"""A child that only knows the handshake era, served to clients of 2026-07-28."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw

from .. import jsonrpc
from ..call import ChildError
from ..http import Refused
from ..jsonrpc import Message
from .answer import STATUS, Answer
from .backend import Backend
from .envelope import Envelope, unwrap
from .errand import Errand
from .listening import Listening
from .native import LISTEN, broken, with_result
from .party import Party
from .rounds import Rounds, hand_over, input_responses, url_requests
from .translate import (
    MAY_NEED_INPUT,
    URL_ELICITATION_REQUIRED,
    declares,
    error_code,
    error_to_modern,
    missing_capability_error,
    result_to_modern,
)

_URL_ELICITATION: Final[dict[str, Any]] = {"elicitation": {"url": {}}}


async def translate(
    answer: Answer,
    message: Message,
    envelope: Envelope,
    backend: Backend,
    party: Party,
    rounds: Rounds,
) -> None:
    """Answer one request. Raises Refused, and ChildError while nothing was sent."""
    if message.method == "server/discover":
        await answer.finish(jsonrpc.result(message.id or b"null", backend.discovered()))
    elif message.method == LISTEN:
        await _listen(answer, message, backend, party)
    else:
        await _call(answer, message, envelope, backend, party, rounds)


async def _listen(answer: Answer, message: Message, backend: Backend, party: Party) -> None:
    listening = Listening(message)
    party.listen(listening)
    try:
        await listening.serve(answer, backend.child, backend.followed)
    finally:
        party.unlisten(listening)


async def _call(
    answer: Answer,
    message: Message,
    envelope: Envelope,
    backend: Backend,
    party: Party,
    rounds: Rounds,
) -> None:
    if envelope.log_level is not None:
        await backend.log_at(envelope.log_level)
    errand, party = _errand(message, envelope, party, rounds)
    patience = party.child.server.request_timeout
    reason = "the client has gone"
    try:
        response = await errand.attend(answer, patience)
        if response is None and errand.asked and not answer.gone:
            body = rounds.park(errand, party, message)
            await _finish(answer, errand, backend, body)
            return
    except Refused as refusal:
        await answer.finish(jsonrpc.error(errand.id, refusal.code, refusal.reason), refusal.status)
        return
    except TimeoutError:
        reason = "did not answer in time"
        text = f"server {party.child.server.name} did not answer within {patience:g} s"
        await answer.finish(jsonrpc.error(errand.id, jsonrpc.INTERNAL_ERROR, text))
        return
    except ChildError as problem:
        await broken(answer, errand, problem)
        return
    finally:
        if not errand.parked:
            party.end(errand, reason)
    if response is None:
        return
    error = None if response.error is None else error_to_modern(response.error)
    if errand.refused and _failed(response):
        error = missing_capability_error(errand.refused, _relied_on(errand, response))
    elif response.error is not None and error_code(response.error) == URL_ELICITATION_REQUIRED:
        if not declares(envelope.capabilities, _URL_ELICITATION):
            error = missing_capability_error([_URL_ELICITATION], "the server needs the client to open a URL")
        elif message.method in MAY_NEED_INPUT and (urls := url_requests(response.error)):
            await _finish(answer, errand, backend, rounds.ask_anew(urls, message, party.principal))
            return
    if error is not None:
        members = {key: value for key, value in response.members.items() if key != "result"}
        body = jsonrpc.dump({**members, "id": errand.id, "error": error})
        await answer.finish(body, STATUS.get(error_code(error), 200))
    elif response.result is not None:
        result = Raw(result_to_modern(response.result, errand.method, backend.server_info))
        await answer.finish(with_result(response, result).with_id(errand.id))


def _errand(message: Message, envelope: Envelope, party: Party, rounds: Rounds) -> tuple[Errand, Party]:
    """A call for this request: a new one, or the one that has waited for it."""
    if message.method not in MAY_NEED_INPUT:
        errand = Errand(message, envelope)
        party.start(unwrap(message), errand)
        return errand, party
    answers = input_responses(message)
    waited = rounds.resume(message, party.principal)
    if waited is None:
        # A call made anew was told to visit URLs: that is no answer to what the server asks now.
        errand = Errand(message, envelope, {} if "requestState" in message.params else answers)
        party.start(unwrap(message, "inputResponses", "requestState"), errand)
        return errand, party
    errand, party = waited
    errand.continued_by(message, envelope)
    hand_over(errand, party, answers)
    return errand, party


async def _finish(answer: Answer, errand: Errand, backend: Backend, result: bytes) -> None:
    full = result_to_modern(Raw(result), errand.method, backend.server_info)
    await answer.finish(jsonrpc.result(errand.id, full))


def _failed(response: Message) -> bool:
    is_error = jsonrpc.object_members(response.result).get("isError")
    return response.error is not None or (is_error is not None and bytes(is_error) == b"true")


def _relied_on(errand: Errand, response: Message) -> str:
    names = ", ".join(sorted({name for needed in errand.refused for name in needed}))
    return f"the server needs a client that declares {names}: {_complaint(response)}"


def _complaint(response: Message) -> str:
    """What the server itself said about its failure."""
    if response.error is not None:
        said = jsonrpc.object_members(response.error).get("message")
        return str(jsonrpc.decode(said)) if said is not None else ""
    content = jsonrpc.decode(jsonrpc.object_members(response.result).get("content", Raw(b"[]")))
    texts = [one["text"] for one in content if isinstance(one, dict) and isinstance(one.get("text"), str)]
    return " ".join(texts)
