"""TLS as a client."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ..errors import ClientError
from ..trust import SYSTEM, Trust


@cache
def tls_context(trust: Trust = SYSTEM) -> ssl.SSLContext:
    """The system's trust store (so also a company's own authority), certifi for systems without
    one, and SSL_CERT_FILE / SSL_CERT_DIR. Raises ClientError for files that cannot be used."""
    import certifi
    import truststore

    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    if trust.authority is not None:
        _load(trust.authority, lambda: context.load_verify_locations(trust.authority))
    if (certificate := trust.certificate) is not None:
        _load(certificate, lambda: context.load_cert_chain(certificate, trust.key, _no_password))
    return context


def _load(path: Path, load: Callable[[], None]) -> None:
    try:
        load()
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or "not usable"
        raise ClientError(f"Cannot use {path} for TLS: {reason}.") from error


def _no_password() -> str:
    """Asking on the terminal would read the protocol's stdin."""
    raise ValueError("it is encrypted with a password")
