"""Characters as browsers show them (WHATWG Encoding, HTML 13.2.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_fetch_streamablehttp_server.reading.encoding import decode, known

HTML = "text/html; charset="


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("gb2312", "gbk", "镕 朱镕基"),
        ("gbk", "gb18030", "€ 㐀 汉字"),
        ("x-gbk", "gbk", "中文"),
        ("gb18030", "gb18030", "😀 汉"),
        ("big5", "big5hkscs", "繁體 㗎"),
        ("x-sjis", "cp932", "①㈱ 日本語"),
        ("shift_jis", "cp932", "髙橋 ～"),
        ("windows-31j", "cp932", "①㈱"),
        ("euc-jp", "euc_jp", "日本語"),
        ("iso-2022-jp", "iso2022_jp", "日本語"),
        ("euc-kr", "cp949", "똠방각하 한국"),
        ("ks_c_5601-1987", "cp949", "뷁"),
        ("windows-949", "cp949", "뷁"),
        ("iso-8859-1", "cp1252", "“quoted” – €"),
        ("latin1", "cp1252", "‘x’ …"),
        ("us-ascii", "cp1252", "naïve – ok"),
        ("iso-8859-9", "cp1254", "ğış “”"),
        ("tis-620", "cp874", "ภาษาไทย"),
        ("koi8-r", "koi8_r", "Привет"),
        ("koi8-u", "koi8_u", "Їжак"),
        ("windows-1251", "cp1251", "Привет"),
        ("cp866", "cp866", "Привет"),
        ("macintosh", "mac_roman", "café"),
        ("x-mac-cyrillic", "mac_cyrillic", "Привет"),
        ("iso-8859-8-i", "iso8859_8", "שלום"),
        ("unicode-1-1-utf-8", "utf-8", "日"),
        ("utf-16le", "utf-16-le", "日本"),
        ("utf-16be", "utf-16-be", "日本"),
        ("utf-16", "utf-16-le", "日本"),
    ],
)
def test_labels_mean_what_the_standard_says(label: str, codec: str, text: str) -> None:
    assert decode(text.encode(codec), HTML + label, markup=True) == text


@pytest.mark.parametrize(
    ("body", "header", "text"),
    [
        (b"\xef\xbb\xbfa\xc3\xa9", "windows-1251", "aé"),
        ("aé".encode("utf-16"), "utf-8", "aé"),
        (b'<meta charset="utf-16">\xc3\xa9', "", '<meta charset="utf-16">é'),
        (b'<meta charset="x-user-defined">\x80', "", '<meta charset="x-user-defined">€'),
        (b'<?xml version="1.0" encoding="koi8-r"?>\xf0', "", '<?xml version="1.0" encoding="koi8-r"?>П'),
        (b"<!-- <meta charset=koi8-r> --><meta charset=windows-1251>\xcf", "",
         "<!-- <meta charset=koi8-r> --><meta charset=windows-1251>П"),
        (b'<meta http-equiv=content-type content="text/html; charset=windows-1251">\xcf', "",
         '<meta http-equiv=content-type content="text/html; charset=windows-1251">П'),
        (b"<meta charset=koi8-r>\xcf", "windows-1251", "<meta charset=koi8-r>П"),
        (b"caf\xe9", "", "café"),
        (b"\x81\x8d", "windows-1252", "\x81\x8d"),
        ("Grüße".encode(), "no-such-thing", "Grüße"),
        ("Grüße".encode(), "'utf-8'", "Grüße"),
        (b"x-" * 10, "punycode", "x-" * 10),
        (b"x", "iso-2022-kr", "\ufffd"),
    ],
)  # fmt: skip
def test_what_is_believed_first(body: bytes, header: str, text: str) -> None:
    assert decode(body, HTML + header if header else "text/html", markup=True) == text


def test_one_bad_byte_spoils_itself_alone() -> None:
    text = "Größe, Übermut und Ärger"
    body = text.encode() + b"\xff" + text.encode()
    assert decode(body, "text/html") == text + "\ufffd" + text
    assert decode(body, HTML + "utf-8") == text + "\ufffd" + text
    assert decode(b"\x81\x40" + b"\xff" + "日".encode("cp932"), HTML + "shift_jis").endswith("\ufffd日")


@pytest.mark.parametrize("label", ["punycode", "idna", "zip", "base64", "utf-7", "hz-gb-2312"])
def test_pythons_own_codecs_are_no_labels(label: str) -> None:
    assert known(label) in (None, "replacement")


@given(st.binary(max_size=200), st.text(max_size=20))
def test_any_bytes_under_any_label_are_text(body: bytes, label: str) -> None:
    assert isinstance(decode(body, HTML + label, markup=True), str)
