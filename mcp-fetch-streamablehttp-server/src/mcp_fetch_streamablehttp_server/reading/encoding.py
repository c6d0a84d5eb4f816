"""Bytes to text as browsers do it: the WHATWG Encoding standard, and how HTML finds a page's encoding."""

from __future__ import annotations

import codecs
import re

import webencodings

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))
_HEADER = re.compile(r"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"']+))", re.IGNORECASE)
_META = re.compile(rb"<meta[\s/]([^>]{1,1000})>", re.IGNORECASE)
_META_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([^\s\"'/>;]{1,40})", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_XML = re.compile(rb"^\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._:-]{1,40})[\"']")
_PRIVATE = dict.fromkeys(range(0xF8F0, 0xF8F4), 0xFFFD)  # what Python makes of bytes that are no Shift_JIS
_PRESCAN = 4096  # HTML 13.2.3.2 looks at 1024 bytes; pages that declare it later are common enough
_GB = ("gbk", "gb2312")  # decoded by its superset (Encoding 10.1.1)


def decode(body: bytes, content_type: str, *, markup: bool = False) -> str:
    """The text. A byte that the encoding does not know becomes U+FFFD and spoils nothing else.

    Order of belief (HTML 13.2.3.1): byte order mark, the header's charset, what the document declares,
    UTF-8 where the bytes are that, windows-1252.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    declared = header_encoding(content_type) or (document_encoding(body) if markup else None)
    if declared is None:
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError as error:
            # A single bad byte in a UTF-8 page must not turn all its other letters into mojibake.
            declared = "utf-8" if mostly_utf8(body, error) else "windows-1252"
    return decode_as(body, declared)


def header_encoding(content_type: str) -> str | None:
    """The encoding that a Content-Type names, under the standard's own name; None for an unknown label."""
    found = _HEADER.search(content_type)
    return known(next(filter(None, found.groups()), "")) if found else None


def document_encoding(body: bytes) -> str | None:
    """What a `meta` element or an XML declaration says; UTF-16 there means UTF-8 (HTML 13.2.3.2)."""
    start = body[:_PRESCAN]
    if start.startswith((b"<\0?\0", b"<\0!\0")):
        return "utf-16le"
    if start.startswith((b"\0<\0?", b"\0<\0!")):
        return "utf-16be"
    declaration = _XML.match(start)
    name = known(declaration[1].decode("ascii")) if declaration else None
    if name is None:
        for meta in _META.finditer(_COMMENT.sub(b"", start)):
            label = _META_CHARSET.search(meta[1])
            name = known(label[1].decode("ascii", "replace")) if label else None
            if name is not None:
                break
    if name in ("utf-16le", "utf-16be"):
        return "utf-8"
    return "windows-1252" if name == "x-user-defined" else name


def known(label: str) -> str | None:
    """The standard's name for a label. Python's other codecs (punycode, idna, zip …) have none."""
    encoding = webencodings.lookup(label.strip())
    return encoding.name if encoding else None


def decode_as(body: bytes, name: str) -> str:
    if name in _GB:
        return body.decode("gb18030", "replace")
    encoding = webencodings.lookup(name)
    if encoding is None or name == "replacement":
        return "\ufffd" if body else ""
    text, _ = encoding.codec_info.decode(body, "whatwg-replace")
    return text.translate(_PRIVATE) if name == "shift_jis" else text


def mostly_utf8(body: bytes, first: UnicodeDecodeError) -> bool:
    """Whether text that is not quite UTF-8 has more letters that are than bytes that are not."""
    text = body.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = sum(character > "\x7f" for character in text) - bad
    return first.start > 0 and good > bad


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Bytes 80 to 9F that a single-byte index leaves open are the C1 controls of the same number."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    byte = error.object[error.start]
    if error.encoding in _SINGLE_BYTE and 0x80 <= byte <= 0x9F:
        return chr(byte), error.start + 1
    return "\ufffd", max(error.start + 1, error.end)


_SINGLE_BYTE = {"charmap", *(f"cp{number}" for number in (866, 874, *range(1250, 1259)))}
codecs.register_error("whatwg-replace", _replace)
