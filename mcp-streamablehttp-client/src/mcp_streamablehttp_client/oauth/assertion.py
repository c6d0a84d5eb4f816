"""A client that proves itself with a private key (private_key_jwt, RFC 7523 section 2.2)."""

from __future__ import annotations

import secrets
import time
import warnings
from pathlib import Path
from typing import Any

from ..errors import ClientError

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE_SECONDS = 60
_ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


def signed(key_file: Path, client_id: str, audience: str) -> str:
    """The assertion; its audience is the issuer (the MCP client-credentials extension, RFC 7523
    section 3). Raises ClientError when the file holds no usable key."""
    from joserfc import jwt
    from joserfc.errors import JoseError

    now = int(time.time())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": now,
        "exp": now + LIFE_SECONDS,
        "jti": secrets.token_urlsafe(16),
    }
    try:
        key = _key(key_file.read_bytes())
        algorithm = _ALGORITHMS[key.key_type]
        if algorithm == "ES256":
            algorithm = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[key.curve_name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # RFC 9864 renames EdDSA; servers know it by this name
            return jwt.encode({"alg": algorithm}, claims, key, algorithms=[algorithm])
    except OSError as error:
        raise ClientError(f"Cannot read {key_file}: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError, JoseError) as error:
        raise ClientError(
            f"{key_file} holds no private key that can sign (PEM; RSA, EC or Ed25519)."
        ) from error


def _key(pem: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    loaded = load_pem_private_key(pem, password=None)
    if isinstance(loaded, rsa.RSAPrivateKey):
        return RSAKey.import_key(pem)
    return (ECKey if isinstance(loaded, ec.EllipticCurvePrivateKey) else OKPKey).import_key(pem)
