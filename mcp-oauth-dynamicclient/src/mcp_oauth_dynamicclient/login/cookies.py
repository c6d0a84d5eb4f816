"""The browser's cookies: HttpOnly, SameSite=Lax, and on https bound to this very host (`__Host-`)."""

from __future__ import annotations

from fastapi import Request, Response

from ..context import Context


def read(ctx: Context, request: Request, name: str) -> str | None:
    return request.cookies.get(_name(ctx, name))


def names(ctx: Context, request: Request, prefix: str) -> list[str]:
    """The cookies that this browser sent, of those whose name begins so."""
    whole = _name(ctx, "")
    found = [name.removeprefix(whole) for name in request.cookies if name.startswith(whole)]
    return [name for name in found if name.startswith(prefix)]


def write(ctx: Context, response: Response, name: str, value: str, lifetime: int) -> None:
    """`lifetime` is in seconds."""
    response.set_cookie(
        _name(ctx, name),
        value,
        max_age=lifetime,
        path="/",
        secure=ctx.settings.secure_cookies,
        httponly=True,
        samesite="lax",
    )


def forget(ctx: Context, response: Response, name: str) -> None:
    response.delete_cookie(
        _name(ctx, name), path="/", secure=ctx.settings.secure_cookies, httponly=True, samesite="lax"
    )


def _name(ctx: Context, name: str) -> str:
    return f"__Host-mcp-{name}" if ctx.settings.secure_cookies else f"mcp-{name}"
