"""All that one principal has under way at one child."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from .. import jsonrpc
from ..call import Call
from ..child import Child
from ..jsonrpc import Kind, Message
from .envelope import SUBSCRIPTION_ID, tag
from .errand import Errand
from .listening import Listening
from .translate import ASKED_OF_CLIENTS, MAY_NEED_INPUT, declares, needed_capability

_WITHDRAWN: Final = "notifications/elicitation/complete"


class Party:
    """Owner of a principal's calls; attached to the child while there is anything under way.

    stdio does not say which call a server's request or log message belongs to. A request goes
    to the newest call whose client can answer it: the same principal answers in any case, and
    its answer reaches the server. A log message must not reach a stream it does not belong to,
    so it is passed on only while there is no doubt.
    """

    def __init__(self, child: Child, principal: str) -> None:
        self.child = child
        self.principal = principal
        self.label = principal or "stateless"
        self.listenings: list[Listening] = []
        self._errands: list[Errand] = []
        self._attached = False

    # what is under way

    def start(self, message: Message, errand: Errand, *, listening: bool = False) -> None:
        """Send a request. Raises ChildError."""
        self._attach()
        try:
            call = self.child.call(message, self, aside=listening)
        except BaseException:
            self._detach_if_idle()
            raise
        call.context = errand
        errand.call = call
        call.future.add_done_callback(lambda _: errand.wake.set())
        self._errands.append(errand)

    def end(self, errand: Errand, reason: str) -> None:
        """Forget a call; one that is not answered is cancelled at the server."""
        if errand in self._errands:
            self._errands.remove(errand)
            for question in errand.asked.values():
                self.refuse(question, reason)
            errand.asked.clear()
            self.child.cancel(errand.call, reason)
            self._detach_if_idle()

    def listen(self, listening: Listening) -> None:
        self._attach()
        self.listenings.append(listening)

    def unlisten(self, listening: Listening) -> None:
        self.listenings.remove(listening)
        self._detach_if_idle()

    def let_go(self) -> None:
        """End what would never end by itself, gracefully."""
        for listening in self.listenings:
            listening.end()
        for errand in self._errands:
            if errand.method == "subscriptions/listen":
                errand.end()

    @property
    def idle(self) -> bool:
        return not self._errands and not self.listenings

    def _attach(self) -> None:
        if not self._attached:
            self._attached = True
            self.child.attach(self)

    def _detach_if_idle(self) -> None:
        if self._attached and self.idle:
            self._attached = False
            self.child.detach(self)

    # Owner

    def deliver(self, message: Message, call: Call | None) -> None:
        about = None if call is None else call.context
        if message.kind is Kind.REQUEST:
            self._asked(message)
        elif isinstance(about, Errand) and about.method == "subscriptions/listen":
            if message.method == "notifications/cancelled":
                about.end()
            else:
                about.post(tag(message, SUBSCRIPTION_ID, about.id).raw)
        elif message.method == "notifications/progress":
            if isinstance(about, Errand):
                about.progress(message)
        elif message.method == "notifications/cancelled":
            self._withdrawn(message)
        elif message.method == "notifications/message":
            for errand in self._surely():
                errand.log(message)
        elif self.wants(message):
            for listening in self.listenings:
                listening.offer(message)
        elif message.method != _WITHDRAWN:
            for errand in self._surely():
                errand.post(message.raw)

    def wants(self, message: Message) -> bool:
        return any(listening.wants(message) for listening in self.listenings)

    def lost(self, reason: str) -> None:
        self._attached = False
        for listening in self.listenings:
            listening.cut()

    # the server's questions

    def answer(self, question: Message, value: Raw) -> None:
        self.child.answer(jsonrpc.parse(jsonrpc.result(question.id or b"null", value)), self)

    def refuse(self, question: Message, reason: str) -> None:
        body = jsonrpc.error(question.id, jsonrpc.METHOD_NOT_FOUND, reason)
        self.child.answer(jsonrpc.parse(body), self)

    def _asked(self, message: Message) -> None:
        if message.method == "ping":
            self.answer(message, Raw(b"{}"))
            return
        asking = [e for e in self._errands if e.method in MAY_NEED_INPUT and not e.call.future.done()]
        if message.method not in ASKED_OF_CLIENTS or not asking:
            self.refuse(message, f"no client can be asked {message.method} now")
            return
        asking.sort(key=lambda errand: errand.running)
        needed = needed_capability(message.method, message.params)
        able = [e for e in asking if declares(e.envelope.capabilities, needed)]
        if not able:
            asking[-1].refused.append(needed)
            self.refuse(message, f"the client did not declare the capability {', '.join(needed)}")
        elif (value := able[-1].question(message)) is not None:
            self.answer(message, value)

    def _withdrawn(self, message: Message) -> None:
        """The server no longer waits for an answer."""
        wanted = message.params.get("requestId")
        for errand in self._errands:
            for key, question in list(errand.asked.items()):
                if wanted is not None and question.id == bytes(wanted):
                    del errand.asked[key]

    def _surely(self) -> list[Errand]:
        """The one call that is running, or nothing."""
        running = [e for e in self._errands if e.running and e.method != "subscriptions/listen"]
        return running if len(running) == 1 else []
