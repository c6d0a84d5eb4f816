"""`requestState` that only this process can read, and only for the request it was made for."""

from __future__ import annotations

import base64
import binascii
import json
import os
import struct
import time

from . import jsonrpc
from .jsonrpc import Message

_NONCE = 12
_EXPIRY = struct.Struct(">d")


class Seal:
    """AES-256-GCM under a key that lives and dies with the process, as parked calls do."""

    def __init__(self) -> None:
        # Eight megabytes that a proxy does not need before a server first asks something.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._forged = InvalidTag

    def close(self, payload: bytes, bound_to: bytes, lifetime: float) -> str:
        """An opaque string; `lifetime` in seconds."""
        nonce = os.urandom(_NONCE)
        plain = _EXPIRY.pack(time.time() + lifetime) + payload
        sealed = nonce + self._cipher.encrypt(nonce, plain, bound_to)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, state: str, bound_to: bytes) -> bytes | None:
        """The payload; None if it was altered, is bound to something else, or has expired."""
        try:
            text = state.encode("ascii")
            sealed = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            plain = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound_to)
        except (self._forged, binascii.Error, ValueError):
            return None
        if _EXPIRY.unpack_from(plain)[0] < time.time():
            return None
        return plain[_EXPIRY.size :]


def identity(message: Message, principal: str) -> bytes:
    """What a retry must share with the request it repeats: who asks, and for what."""
    salient = {
        name: jsonrpc.decode(value)
        for name, value in message.params.items()
        if name not in ("_meta", "inputResponses", "requestState")
    }
    return json.dumps([principal, message.method, salient], sort_keys=True).encode()
