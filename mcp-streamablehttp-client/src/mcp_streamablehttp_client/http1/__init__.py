"""HTTP/1.1 for the relay (RFC 9110, RFC 9112): h11 for the protocol, asyncio for the sockets.

httpx serves the OAuth side, where comfort counts. On the relay every millisecond of start-up and
latency does: this client starts twice and answers several times as fast.
"""

from __future__ import annotations

from .client import HttpClient
from .response import Response
from .target import Headers, Target
from .tls import tls_context

__all__ = ["Headers", "HttpClient", "Response", "Target", "tls_context"]
