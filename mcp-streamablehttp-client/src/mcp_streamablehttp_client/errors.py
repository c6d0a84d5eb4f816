"""Everything that can go wrong and be told to a person or a host in one sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

MOST_CAUSES = 5
"""How far back the log follows one error to another."""


class ClientError(Exception):
    """Base of all errors of this package; the text is one clear sentence without secrets."""


class UnreachableError(ClientError):
    """No HTTP answer could be had from the server."""


class NotConnectedError(UnreachableError):
    """There is no connection, so the server has not seen the request.

    `passing` says that trying again soon may help: the server was there but took no connection.
    """

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing


class OutcomeUnknownError(UnreachableError):
    """A request was sent and its answer is lost (RFC 9110 section 9.2.2)."""

    def __init__(self, what_happened: str) -> None:
        super().__init__(f"{what_happened}; whether the server acted on the request is not known.")


class BrokenStreamError(ClientError):
    """The connection ended in the middle of an answer."""


class MessageTooLargeError(ClientError):
    """A message exceeded the stated cap."""


class SignInError(ClientError):
    """The OAuth sign-in could not be completed."""


class NotNowError(SignInError):
    """An authorization server, or something before it, gave no answer that the protocol knows.

    Nothing is given up for it: tokens, codes and registrations stay, and the next call tries again.
    `retry_after` is what the server asked to wait, in seconds; `error` its error code, if any.
    """

    def __init__(self, text: str, retry_after: float | None = None, error: str = "") -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.error = error


class DiscoveryError(SignInError):
    """The server's or its authorization server's metadata is missing, wrong or unsafe."""


class OAuthRefusedError(SignInError):
    """An OAuth endpoint answered with an error (RFC 6749 §5.2)."""

    def __init__(self, error: str, text: str) -> None:
        super().__init__(text)
        self.error = error


class WrongEraError(ClientError):
    """The server refused a message as one that speaks the other era does.

    `refusal` gives the server's own words to the host, when nobody speaks the other era either.
    """

    def __init__(self, refusal: Callable[[], Awaitable[None]]) -> None:
        super().__init__("The server speaks another era of the protocol.")
        self.refusal = refusal


def describe(problem: BaseException) -> str:
    """An unexpected exception in one line, with the place it comes from and without its text,
    which might hold a secret."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else "?"
    return f"{type(problem).__name__} in {where}"


def causes(problem: BaseException) -> str:
    """What an error was made of, for the log; empty where it was made of nothing."""
    found: list[str] = []
    while (cause := problem.__cause__) is not None and len(found) < MOST_CAUSES:
        problem = cause
        found.append(describe(cause))
    return f" ({', because of '.join(found)})" if found else ""
