"""Every line that a page shows to be typed: in the repository's Markdown, and on the pages of a gateway."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict

from mcp_oauth_dynamicclient.pages.connect import ways_to_connect

from gateway.packages import ROOT
from gateway.reference import COMMANDS

BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SHELLS = ("console", "sh", "bash", "shell")
PROGRAMS = (
    "./justw", "just", "pip", "pipx", "uvx", "npx", "docker", "kubectl", "helm", "claude", "code",
    "systemctl", "loginctl", "openssl", "cp", "sudo", "apt", "python3",
    "supergateway", "mcp-proxy", *COMMANDS,
)  # fmt: skip
TYPED = re.compile(
    rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(map(re.escape, sorted(PROGRAMS, key=len, reverse=True)))})(?: .*|$)"
)
NAMES_A_PROGRAM = re.compile(r"docker|just|kubectl|helm|claude|code|mcp-[a-z-]+")
"""The name alone, in a sentence about it, is no line."""
PAGE = "the page of a server"
HERE = "http://localhost:8080/time/mcp"


def shown() -> dict[str, list[str]]:
    """Each line, once, with the pages that show it."""
    found: dict[str, list[str]] = defaultdict(list)
    for page in _markdown():
        text = (ROOT / page).read_text()
        for line in [*_in_blocks(text), *_in_sentences(BLOCK.sub("", text))]:
            if page not in found[line]:
                found[line].append(page)
    for way in ways_to_connect("time", HERE):
        for step in way.steps:
            for line in step.code.splitlines():
                if TYPED.fullmatch(line):
                    found[line].append(PAGE)
    return dict(found)


def _markdown() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [page for page in listed.stdout.splitlines() if not page.startswith("changes/")]


def _in_blocks(text: str) -> list[str]:
    lines = []
    for language, block in BLOCK.findall(text):
        if language in SHELLS:
            joined = re.sub(r"\\\n\s*", "", block)
            typed = re.findall(
                r"^ *\$ (.+)$" if language == "console" else r"^(.*\S.*)$", joined, re.MULTILINE
            )
            lines += [re.sub(r"\s+#\s.*", "", line).strip() for line in typed]
    return [line for line in lines if line]


def _in_sentences(text: str) -> list[str]:
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]
    return [s for s in spans if TYPED.fullmatch(s) and not NAMES_A_PROGRAM.fullmatch(s)]
