"""A small gateway that signs identity statements with a key of the test's, and publishes it inside."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "https://auth.example.com"
OWN = "https://{name}.example.com/mcp"


@dataclass
class Signer:
    """The gateway's side: a key, its publication."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    url: str = ""

    def sign(self, name: str, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        now = int(time.time())
        claims = {
            "iss": ISSUER, "aud": OWN.format(name=name), "sub": "local:ada", "name": "ada",
            "client_id": "client-1", "scope": "mcp", "iat": now, "exp": now + 300,
        }  # fmt: skip
        given = {"typ": "mcp-identity+jwt", "kid": "one", **(header or {})}
        return jwt.encode(claims | changes, self.key, algorithm="ES256", headers=given)

    def document(self) -> bytes:
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"issuer": ISSUER, "keys": [{**public, "kid": "one"}]}).encode()


@contextmanager
def signing() -> Iterator[Signer]:
    """A signer whose keys are at its `url` + `/keys`, over real HTTP."""
    made = Signer()

    class Internal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made.document()
            self.send_response(200 if self.path == "/internal/identity/keys" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Internal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_port}/internal/identity"
        yield made
        server.shutdown()
