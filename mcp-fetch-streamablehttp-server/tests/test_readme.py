"""The README's tables are made from the code: `python tests/test_readme.py` writes them anew."""

from __future__ import annotations

from pathlib import Path

from mcp_fetch_streamablehttp_server._common.setting_options import option_name, shown_default
from mcp_fetch_streamablehttp_server.arguments import FetchArguments
from mcp_fetch_streamablehttp_server.settings import Settings

README = Path(__file__).parent.parent / "README.md"


def arguments() -> str:
    lines = ["| argument | default | |", "|---|---|---|"]
    for name, field in FetchArguments.model_fields.items():
        given = "" if field.is_required() or field.default is None else f"`{field.default}`"
        lines.append(f"| `{name}` | {given.replace('False', 'false')} | {field.description} |")
    return "\n".join(lines)


def settings() -> str:
    lines = ["| variable | option | default | |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = shown_default(Settings, name)
        lines.append(
            f"| `MCP_{name.upper()}` | `{option_name(name, 'fetch_')}` | {f'`{default}`' if default else ''} "
            f"| {field.title}: {field.description} |"
        )
    return "\n".join(lines)


def written(text: str) -> str:
    for name, table in (("arguments", arguments()), ("settings", settings())):
        place = f"<!-- {name} -->\n"
        start = text.index(place) + len(place)
        text = text[:start] + table + "\n" + text[text.index("<!-- end -->", start) :]
    return text


def test_the_tables_of_the_readme_are_what_the_code_says() -> None:
    text = README.read_text()
    assert "<!-- arguments -->" in text
    assert "<!-- settings -->" in text
    assert text == written(text), "run python tests/test_readme.py"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
