"""What may be shown of a value that could be a secret: length, last four characters, fingerprint."""

from __future__ import annotations

import hashlib
import re
from typing import Any

_SECRET_NAME = re.compile(
    r"auth(?:orization)?$|cookie|token|secret|passw|credential|session|signature|assertion|jwt|csrf|xsrf"
    r"|api[-_]?key|private|(?:^|[-_])key(?:$|[-_])",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"eyJ[\w-]{6,}(?:\.[\w-]*){1,4}"
    r"|\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|sk-)[\w-]{8,}"
    r"|(?<=\bbearer )\S+|(?<=\bbasic )\S+|(?<=://)[^/@\s]+(?=@)",
    re.IGNORECASE,
)
_QUERY_VALUE = re.compile(r"(?<=[?&;])([^=&;\s#]+)=([^&;\s#]+)")
_FRAGMENT = re.compile(r"(?<=\S)#\S+=\S+")
_SCHEMES = {"bearer", "basic", "dpop", "digest", "negotiate"}
_SHOW_END_FROM = 20
_LONGEST = 1000


def fingerprint(secret: str) -> str:
    """`[812 characters, ending …k3Qw, sha256 1f0c9a2b]`; a secret short enough to guess shows nothing."""
    if len(secret) < _SHOW_END_FROM:
        return "[redacted]"
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"[{len(secret)} characters, ending …{secret[-4:]}, sha256 {digest}]"


def is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def header_value(name: str, value: str) -> str:
    """A header's value as it may be shown to whoever called the tool."""
    lowered = name.lower()
    if lowered in ("cookie", "set-cookie"):
        return _cookies(value)
    if is_secret_name(lowered):
        scheme, _, rest = value.strip().partition(" ")
        if rest and scheme.lower() in _SCHEMES:
            return f"{scheme} {fingerprint(rest.strip())}"
        return fingerprint(value.strip())
    return text(value)


def text(value: str) -> str:
    """Free text: anything in it that looks like a credential, and every value in a query string, goes."""
    shown = _SECRET_VALUE.sub(lambda match: fingerprint(match[0]), value)
    if "?" in shown:
        shown = _QUERY_VALUE.sub(r"\1=[redacted]", shown)
    shown = _FRAGMENT.sub("#[redacted]", shown)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}… ({len(shown)} characters)"


def data(value: Any, name: str = "") -> Any:
    """Decoded JSON, with secrets by name or by shape removed at every depth."""
    if isinstance(value, dict):
        return {text(str(key)): data(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [data(item, name) for item in value]
    if is_secret_name(name):
        return fingerprint(value) if isinstance(value, str) else "[redacted]"
    return text(value) if isinstance(value, str) else value


def _cookies(value: str) -> str:
    names = (part.split("=", 1)[0].strip() for part in value.split(";") if "=" in part)
    return "; ".join(f"{text(name)}=[redacted]" for name in names) or "[redacted]"
