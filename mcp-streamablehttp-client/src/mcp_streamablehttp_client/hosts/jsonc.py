"""Changing one member of a JSON file with comments, and nothing else in it.

Hosts' files are written by people: comments, trailing commas, their order and their spaces stay.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r'\s+|//[^\n]*|/\*.*?\*/|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<mark>[{}\[\]:,])|(?P<word>[^\s{}\[\]:,"/]+)',
    re.DOTALL,
)


@dataclass
class _Node:
    """A value and where it stands; `members` by name, with the place where the name begins."""

    start: int
    end: int
    value: Any
    members: dict[str, tuple[int, _Node]] = field(default_factory=dict)


def load(text: str) -> Any:
    """What the text says, {} where it is empty; raises ValueError."""
    return _parse(text).value


def put(text: str, path: tuple[str, ...], value: Any) -> str:
    """The text with the member at `path` set; objects on the way are made."""
    if not list(_tokens(text)):
        text = f"{text}{{}}\n"  # after its comments
    node = _parse(text)
    for depth, name in enumerate(path):
        if not isinstance(node.value, dict):
            raise ValueError(f"{'.'.join(path[:depth]) or 'the whole'} is not an object")  # noqa: TRY004 (the file's fault)
        if name not in node.members:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _checked(_insert(text, node, depth, name, value), text, path)
        _, node = node.members[name]
    changed = text[: node.start] + _dump(value, len(path)) + text[node.end :]
    return _checked(changed, text, path)


def remove(text: str, path: tuple[str, ...]) -> str:
    """The text without the member at `path`; as it is where there is none."""
    *way, last = path
    node = _parse(text)
    for name in way:
        if name not in node.members:
            return text
        _, node = node.members[name]
    if last not in node.members:
        return text
    start, member = node.members[last]
    end = member.end
    if (comma := _next_mark(text, end)) is not None and text[comma] == ",":
        end = comma + 1
    else:  # the last one: the comma before it goes
        before = [other.end for _, other in node.members.values() if other.end < start]
        start = max(before, default=start)
    line = text.rfind("\n", 0, start) + 1
    if not text[line:start].strip() and text[end : end + 1] in ("\n", "\r"):
        start = line - 1 if line else start  # its whole lines
    return _checked(text[:start] + text[end:], text, path)


def _insert(text: str, node: _Node, depth: int, name: str, value: Any) -> str:
    """As the first member: what follows the brace stays as it is."""
    member = f"\n{'  ' * (depth + 1)}{json.dumps(name, ensure_ascii=False)}: {_dump(value, depth + 1)}"
    after = node.start + 1
    rest = text[after:]
    if node.members:
        return f"{text[:after]}{member},{rest}"
    return f"{text[:after]}{member}\n{'  ' * depth}{rest.lstrip() if rest[:1].isspace() else rest}"


def _dump(value: Any, depth: int) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", f"\n{'  ' * depth}")


def _checked(changed: str, text: str, path: tuple[str, ...]) -> str:
    """The change, after a look that nothing but the one member is different; raises ValueError."""
    before, after = load(text), load(changed)
    if _without(before, path) != _without(after, path):
        raise ValueError("the file has a form that cannot be changed safely")
    return changed


def _without(value: Any, path: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        return value
    name, *rest = path
    inner = {key: member for key, member in value.items() if key != name}
    if rest and (below := _without(value.get(name, {}), tuple(rest))):
        inner[name] = below
    return inner


def _next_mark(text: str, position: int) -> int | None:
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found["string"] or found["word"]:
            return None
        if found["mark"]:
            return position
        position = found.end()
    return None


def _parse(text: str) -> _Node:
    tokens = list(_tokens(text))
    if not tokens:
        return _Node(0, 0, {})
    try:
        node, rest = _value(tokens, 0)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if rest != len(tokens):
        raise ValueError(f"something follows the end, at character {tokens[rest][1]}")
    return node


def _tokens(text: str) -> list[tuple[str, int, int]]:
    found, position = [], 1 if text.startswith("\ufeff") else 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None or token.end() == position:
            raise ValueError(f"not JSON at character {position}")
        if token.lastgroup is not None:
            found.append((token[0], position, token.end()))
        position = token.end()
    return found


def _value(tokens: list[tuple[str, int, int]], at: int) -> tuple[_Node, int]:
    text, start, end = _take(tokens, at)
    if text not in ("{", "["):
        return _Node(start, end, json.loads(text)), at + 1
    closing = "}" if text == "{" else "]"
    node = _Node(start, end, {} if text == "{" else [])
    at += 1
    while (token := _take(tokens, at))[0] != closing:
        if text == "{":
            name, begins = json.loads(token[0]), token[1]
            if not isinstance(name, str) or _take(tokens, at + 1)[0] != ":":
                raise ValueError(f"a name is expected at character {begins}")
            member, at = _value(tokens, at + 2)
            node.value[name] = member.value
            node.members[name] = (begins, member)
        else:
            member, at = _value(tokens, at)
            node.value.append(member.value)
        if (token := _take(tokens, at))[0] == ",":
            at += 1
        elif token[0] != closing:
            raise ValueError(f"a comma is missing at character {token[1]}")
    node.end = token[2]
    return node, at + 1


def _take(tokens: list[tuple[str, int, int]], at: int) -> tuple[str, int, int]:
    if at >= len(tokens):
        raise ValueError("it ends in the middle")
    return tokens[at]
