"""mkdocs hooks: pages that are not in docs/, and links that leave it.

The READMEs and the other pages of the repository's root become pages of the site, the reference is generated
from the code at each build, and a link to any other file of the repository leads to the file there.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # mkdocs loads hooks by their path

from gateway.packages import PACKAGES  # noqa: E402
from gateway.reference import reference, troubles  # noqa: E402

ADDED = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contribute.md",
    "SECURITY.md": "report.md",
    "CHANGELOG.md": "changes.md",
    **{f"{name}/README.md": f"packages/{name}.md" for name in PACKAGES},
}
"""Pages of the site by their place in the repository."""
PLACE = {page: source for source, page in ADDED.items()}
LINK = re.compile(r"(\[[^\]\n]*\])\(([^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for source, page in ADDED.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    files.append(File.generated(config, "reference.md", content=reference()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are in the repository, made links of the site; the doctor's words where they belong."""
    if page.file.src_uri == "troubleshoot.md":
        markdown += f"\n## What `./justw doctor` finds\n\n{troubles()}\n"
    here = PurePosixPath(PLACE.get(page.file.src_uri, f"docs/{page.file.src_uri}"))
    parts = FENCE.split(markdown)
    return "".join(
        part if part.startswith("```") else LINK.sub(lambda found: _link(found, here, page), part)
        for part in parts
    )


def _link(found: re.Match[str], here: PurePosixPath, page: Page) -> str:
    text, target = found.groups()
    name, hash_sign, fragment = target.partition("#")
    if re.match(r"[a-z][a-z0-9+.-]*:", target) or not name:
        return found[0]
    there = os.path.normpath(here.parent / name)
    if there in ADDED:
        there = f"docs/{ADDED[there]}"
    elif there == "docs":
        there = "docs/README.md"
    elif not there.startswith("docs/"):
        kind = "tree" if (ROOT / there).is_dir() else "blob"
        return f"{text}({_repository()}/{kind}/main/{there})"
    site = os.path.relpath(there, f"docs/{PurePosixPath(page.file.src_uri).parent}")
    return f"{text}({site}{hash_sign}{fragment})"


def _repository() -> str:
    manifest = tomllib.loads((ROOT / PACKAGES[0] / "pyproject.toml").read_text())
    return str(manifest["project"]["urls"]["Repository"])
