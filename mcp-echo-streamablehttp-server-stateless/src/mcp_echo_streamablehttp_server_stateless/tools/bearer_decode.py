from __future__ import annotations

import base64
import binascii
import json
import math
import time
from datetime import UTC, datetime
from typing import Any, Literal, TypeGuard

from pydantic import BaseModel, Field

from ..call import Call
from ..redact import data, fingerprint
from ..redact import text as redacted
from ..toolbox import Arguments, Report, Tool

ABSENT = (
    "No bearer token reached this server. Behind the gateway that is right: "
    "the gateway checks the token and keeps it to itself."
)


class BearerArguments(Arguments):
    includeRaw: bool = Field(  # noqa: N815
        False,
        title="Include raw",
        description="Also give the decoded header and payload whole. The signature is never shown.",
    )


class Moment(BaseModel):
    claim: str = Field(title="Claim", description="iat, nbf or exp.")
    at: str = Field(title="At", description="The moment, in UTC.")
    seconds_from_now: int = Field(title="From now", description="Seconds until then; negative for the past.")


class Bearer(Report):
    present: bool = Field(title="Present", description="Whether a bearer token reached this server.")
    kind: str = Field(title="Kind", description="none, opaque or jwt")
    fingerprint: str | None = Field(
        default=None, title="Fingerprint", description="Length, last characters and hash, to compare it with."
    )
    verified: Literal[False] = Field(
        default=False, title="Verified", description="Never: this server has no key."
    )
    algorithm: str | None = Field(default=None, title="Algorithm", description="alg of the header, or null.")
    key_id: str | None = Field(default=None, title="Key id", description="kid of the header, or null.")
    issuer: str | None = Field(default=None, title="Issuer", description="iss, or null.")
    subject: str | None = Field(default=None, title="Subject", description="sub, or null.")
    audience: list[str] = Field(default_factory=list, title="Audience", description="aud, at most 20.")
    times: list[Moment] = Field(default_factory=list, title="Times", description="When it begins and ends.")
    expired: bool | None = Field(
        default=None, title="Expired", description="Whether exp has passed, or null."
    )
    custom_claims: dict[str, Any] = Field(
        default_factory=dict, title="Other claims", description="What else it says, without secrets."
    )
    header: dict[str, Any] | None = Field(
        default=None, title="Header", description="The whole header, where it was asked for."
    )
    payload: dict[str, Any] | None = Field(
        default=None, title="Payload", description="The whole payload, where it was asked for."
    )

    def text(self) -> str:
        if not self.present:
            return ABSENT
        if self.kind == "opaque":
            return (
                f"An opaque bearer token {self.fingerprint}: it is not a JWT, so there is nothing to decode."
            )
        lines = [f"A JWT {self.fingerprint}, decoded but not verified:"]
        for label, value in (
            ("algorithm", self.algorithm),
            ("key id", self.key_id),
            ("issuer", self.issuer),
            ("subject", self.subject),
            ("audience", ", ".join(self.audience)),
        ):
            lines.append(f"  {label}: {value or '(none)'}")
        lines += [
            f"  {moment.claim}: {moment.at} ({moment.seconds_from_now:+d} s from now)"
            for moment in self.times
        ]
        if self.expired is not None:
            lines.append("  expired" if self.expired else "  not expired")
        if self.custom_claims:
            lines.append(f"  other claims: {json.dumps(self.custom_claims, ensure_ascii=False)}")
        if self.header is not None:
            lines.append(f"  header: {json.dumps(self.header, ensure_ascii=False)}")
            lines.append(f"  payload: {json.dumps(self.payload, ensure_ascii=False)}")
        return "\n".join(lines)


STANDARD = {"iss", "sub", "aud", "exp", "nbf", "iat"}


async def bearer_decode(call: Call, arguments: BearerArguments) -> Bearer:
    token = call.bearer
    if token is None:
        return Bearer(present=False, kind="none")
    decoded = decode(token)
    if decoded is None:
        return Bearer(present=True, kind="opaque", fingerprint=fingerprint(token))
    header, payload = decoded
    now = time.time()
    expiry = payload.get("exp")
    return Bearer(
        present=True,
        kind="jwt",
        fingerprint=fingerprint(token),
        algorithm=claim(header, "alg"),
        key_id=claim(header, "kid"),
        issuer=claim(payload, "iss"),
        subject=claim(payload, "sub"),
        audience=audience(payload.get("aud")),
        times=[moment for name in ("iat", "nbf", "exp") if (moment := instant(name, payload.get(name), now))],
        expired=expiry <= now if is_number(expiry) else None,
        custom_claims=data({key: value for key, value in payload.items() if key not in STANDARD}),
        header=data(header) if arguments.includeRaw else None,
        payload=data(payload) if arguments.includeRaw else None,
    )


def decode(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The header and payload of a signed JWT in compact form (RFC 7519), or None for anything else."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header, payload = (
            json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2]
        )
    except (ValueError, binascii.Error, RecursionError):
        return None
    return (header, payload) if isinstance(header, dict) and isinstance(payload, dict) else None


def claim(values: dict[str, Any], name: str) -> str | None:
    value = values.get(name)
    return None if value is None else redacted(str(value))


def audience(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [] if value is None else [value]
    return [redacted(str(entry)) for entry in entries[:20]]


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def instant(name: str, value: Any, now: float) -> Moment | None:
    if not is_number(value):
        return None
    try:
        at = datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return None
    return Moment(claim=name, at=at, seconds_from_now=round(value - now))


BEARER_DECODE = Tool(
    "bearerDecode",
    "Decode the bearer token",
    "Decodes the JWT in this request's Authorization header, without verifying it and without showing it.",
    BearerArguments,
    Bearer,
    bearer_decode,
)
