"""The words of a command as what a tool's schema asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mcp_streamablehttp_client.cli.arguments import from_words, refusal
from mcp_streamablehttp_client.cli.tools import signature
from mcp_streamablehttp_client.errors import ClientError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "text": {"type": "string"},
        "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "any": {"type": ["string", "boolean"]},
        "sizes": {"type": "array", "items": {"type": "integer"}},
        "words": {"type": "array", "items": {"type": "string"}},
        "maybe": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Colour"}}, {"type": "null"}]},
        "colour": {"$ref": "#/$defs/Colour"},
        "wrapped": {"allOf": [{"$ref": "#/$defs/Colour"}]},
        "level": {"enum": [1, 2]},
        "code": {"enum": ["1", "2"]},
        "fixed": {"const": "007"},
        "circle": {"$ref": "#/properties/circle"},
        "away": {"$ref": "https://example.com/schema"},
        "free": {},
    },
    "$defs": {"Colour": {"type": "string", "enum": ["red", "1"]}},
}


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("count=5",), 5),
        (("count=5.0",), 5.0),
        (("ratio=5",), 5),
        (("ratio=-1e3",), -1000.0),
        (("text=5",), "5"),
        (("text=true",), "true"),
        (("text=",), ""),
        (("text=a=b",), "a=b"),
        (("either=null",), None),
        (("either=7",), 7),
        (("any=true",), True),
        (("any=7",), "7"),
        (("sizes=1", "sizes=2"), [1, 2]),
        (("sizes=[3, 4]",), [3, 4]),
        (("sizes:=[5]",), [5]),
        (("words=1", "words=[x"), None),
        (("words=1", "words=2"), ["1", "2"]),
        (("maybe=1", "maybe=red"), ["1", "red"]),
        (("colour=1",), "1"),
        (("wrapped=1",), "1"),
        (("level=2",), 2),
        (("code=2",), "2"),
        (("fixed=007",), "007"),
        (("circle=7",), 7),
        (("away=x",), "x"),
        (("free=7",), 7),
        (("free=x",), "x"),
    ],
)
def test_a_word_is_read_as_its_schema_says(words: tuple[str, ...], value: Any) -> None:
    name = words[0].partition("=")[0].removesuffix(":")
    if value is None and name == "words":
        with pytest.raises(ClientError):
            from_words(words, SCHEMA)
        return
    found = from_words(words, SCHEMA)[name]
    assert (found, type(found)) == (value, type(value))


HALF = chr(0xDCFF)
"""What Python makes of a byte that is no UTF-8 in an argument."""
UNREADABLE = (
    *("count=x", "count=5.5", "count=true", "ratio=NaN", "ratio=1e999", "ratio:=Infinity", "sizes=x"),
    *("level=x", f"text={HALF}", 'free:="\\ud800"', f"free:={'[' * 100_000}", f"free:={'9' * 5000}"),
    *("free:=-Infinity", "=x", ":=1", "x", "", "@/nowhere", "text=@/nowhere", "{", "[]", "{]"),
)


@pytest.mark.parametrize("word", UNREADABLE, ids=lambda word: ascii(word[:12]))
def test_what_cannot_be_read_is_one_sentence(word: str) -> None:
    with pytest.raises(ClientError) as refused:
        from_words((word,), SCHEMA)
    assert len(str(refused.value).splitlines()) == 1


def test_files_and_objects_come_together(tmp_path: Path) -> None:
    many, one = tmp_path / "many.json", tmp_path / "one"
    many.write_text('{"count": 1, "text": "a"}')
    one.write_text("5\n")
    words = (f"@{many}", f"text=@{one}", '{"free": [null]}')
    with pytest.raises(ClientError, match="twice"):
        from_words(words, SCHEMA)
    words = (f"@{many}", '{"free": [null]}', "ratio=1")
    assert from_words(words, SCHEMA) == {"count": 1, "text": "a", "free": [None], "ratio": 1}
    latin = tmp_path / "latin"
    latin.write_bytes(b"\xe4")
    with pytest.raises(ClientError, match="UTF-8"):
        from_words((f"text=@{latin}",), SCHEMA)


def test_types_behind_a_reference_are_shown() -> None:
    line = signature({"inputSchema": SCHEMA | {"required": ["colour"]}})
    assert " colour=string " in line
    assert "[maybe=array|null]" in line
    assert "[circle=json]" in line
    for odd in (None, True, "colour", {"colour": 1}):
        assert "[colour=string]" in signature({"inputSchema": SCHEMA | {"required": odd}})


def test_what_the_schema_forbids_is_said_by_name() -> None:
    assert refusal({"colour": "blue"}, SCHEMA) == "colour: 'blue' is not one of ['red', '1']."
    assert refusal({"count": 5.0}, SCHEMA) is None
