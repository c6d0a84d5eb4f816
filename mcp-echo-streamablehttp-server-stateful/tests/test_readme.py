"""The README's table is made from the code: `python tests/test_readme.py` writes it anew."""

from __future__ import annotations

from pathlib import Path

from mcp_echo_streamablehttp_server_stateful.settings import Settings
from mcp_echo_streamablehttp_server_stateless._common.setting_options import table

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- end -->"


def written(text: str) -> str:
    start = text.index(BEGIN) + len(BEGIN)
    return f"{text[:start]}{table(Settings)}\n{text[text.index(END, start) :]}"


def test_the_table_of_the_readme_is_what_the_code_says() -> None:
    text = README.read_text()
    assert text == written(text), "run python tests/test_readme.py"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
