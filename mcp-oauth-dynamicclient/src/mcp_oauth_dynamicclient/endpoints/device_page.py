"""/device: where a person enters the code that a device shows, and decides (RFC 8628 section 3.3)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from .. import pages
from ..authorize.complete import complete_device
from ..authorize.page import Question, consent_page
from ..authorize.ticket import Tickets
from ..authorize.wording import ClientWords, Destination, describe_client, describe_end
from ..context import Context
from ..errors import InvalidRequestError
from ..forms import Form, read_form
from ..grants import device_code
from ..login import session
from ..login.flow import Flow, Flows
from ..rate_limit import per_hour
from ..records import DeviceCode

CODES_PER_HOUR = 100
"""Per address; one code in 20^8 is right (RFC 8628 section 5.1)."""
GONE = "It is not known any more."
WARNING = (
    "Check that your device or terminal shows exactly this code. If somebody sent it to you, press Deny:"
    " you would give them your access."
)


def routes(ctx: Context) -> APIRouter:
    router = pages.page_router(ctx, "device.page", again="/device")
    tickets, flows = Tickets(ctx, "device"), Flows(ctx)

    @router.get("/device")
    async def enter(request: Request) -> Response:
        return _enter(request.query_params.get("user_code", "")[:24])

    @router.post("/device")
    async def answer(request: Request) -> Response:
        form = await read_form(request)
        if form.get("decision") == "find":
            return await _ask(request, form.get("user_code") or "")
        return await _decide(request, form)

    def _enter(user_code: str, problem: str = "", status: int = 200) -> Response:
        return pages.render(ctx, "device.html", status=status, user_code=user_code, problem=problem)

    async def _ask(request: Request, user_code: str) -> Response:
        await per_hour(ctx, "device.page", request, CODES_PER_HOUR)
        device = await device_code.find(ctx, user_code)
        if device is None:
            problem = "There is no such code waiting. Codes expire after ten minutes."
            return _enter(user_code[:24], problem, status=404)
        ticket = tickets.issue({"user_code": device.user_code})
        client = await ctx.clients.find(device.client_id)
        question = Question(
            client=describe_client(client) if client else ClientWords(device.client_name, GONE),
            until=describe_end(ctx, client) if client else "",
            destination=Destination(f"the device showing {_shown(device)}", WARNING),
            resource=device.resource,
            scope=device.scope,
            action="/device",
        )
        account = await session.current(ctx, request)
        response = await consent_page(ctx, question, account, ticket.text)
        tickets.bind(ticket, request, response)
        return response

    async def _decide(request: Request, form: Form) -> Response:
        ticket, decision = tickets.open(form.get("ticket") or ""), form.get("decision")
        if ticket is None or decision not in ("approve", "deny", "switch"):
            raise InvalidRequestError(
                "This is not an answer to a page of this gateway; enter the code again."
            )
        user_code = str(ticket.asked["user_code"])
        device = await device_code.find(ctx, user_code)
        if not tickets.is_of(ticket, request):
            named = {"client_id": device.client_id, "client_name": device.client_name} if device else {}
            return pages.no_cookie(ctx, "device.page", "/device", **named)
        if decision == "deny":
            return await complete_device(ctx, user_code, None)
        account = await session.current(ctx, request)
        if account is not None and decision == "approve":
            return await complete_device(ctx, user_code, account)
        if device is None:
            return _enter(user_code, "There is no such code waiting any more.", status=404)
        return await flows.begin(
            request,
            Flow(
                purpose="device",
                details={"user_code": user_code, "resource": device.resource},
                client_id=device.client_id,
                client_name=pages.cut(device.client_name),
                headline=f"to connect {pages.cut(device.client_name)}",
                again=f"/device?user_code={_shown(device)}",
                prompt="select_account" if decision == "switch" else "",
            ),
        )

    return router


def _shown(device: DeviceCode) -> str:
    return f"{device.user_code[:4]}-{device.user_code[4:]}"
