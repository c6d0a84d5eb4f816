"""What tools, resources and prompts hold, shown: text as it is, pictures where the terminal can,
everything else kept in a file or told in a line."""

from __future__ import annotations

import base64
import mimetypes
from pathlib import Path
from typing import Any

import click

from ..errors import ClientError
from ..terminal import picture, say

save_option = click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="Keep pictures, sound and other files there.",
)


class Shown:
    """`save` is a directory for what is not text; `err` sends everything to stderr."""

    def __init__(self, save: Path | None, *, err: bool = False) -> None:
        self._save = save
        self._err = err

    def item(self, item: dict[str, Any]) -> None:
        """A content block (2025-11-25 server/tools, "Tool Result")."""
        kind = item.get("type")
        if kind == "text":
            say(str(item.get("text")), err=self._err)
        elif kind in ("image", "audio"):
            self._bytes(str(kind), item.get("data"), item.get("mimeType"))
        elif kind == "resource_link":
            say(f"[link {item.get('uri')}]", err=self._err)
        elif kind == "resource" and isinstance(resource := item.get("resource"), dict):
            self.resource(resource)
        else:
            say(f"[{kind}; see --json]", err=self._err)

    def resource(self, resource: dict[str, Any]) -> None:
        """The contents of a resource, text or blob."""
        if isinstance(resource.get("text"), str):
            say(resource["text"], err=self._err)
        else:
            self._bytes("resource", resource.get("blob"), resource.get("mimeType"))

    def _bytes(self, kind: str, text: object, mime: object) -> None:
        mime = mime if isinstance(mime, str) else "application/octet-stream"
        try:
            data = base64.b64decode(text if isinstance(text, str) else "", validate=True)
        except ValueError:
            say(f"[{kind} {mime}, not valid base64; see --json]", err=self._err)
            return
        if self._save is not None:
            say(f"[{kind} {mime}: {_keep(self._save, kind, data, mime)}]", err=self._err)
        elif not (mime.startswith("image/") and not self._err and picture(data, mime)):
            say(f"[{kind} {mime}, {len(data)} bytes; --save DIRECTORY keeps it]", err=self._err)


def _keep(directory: Path, kind: str, data: bytes, mime: str) -> Path:
    """In a new file; its name is ours, not the server's."""
    suffix = mimetypes.guess_extension(mime.partition(";")[0].strip()) or ".bin"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = directory / f"{kind}-{number}{suffix}"
            try:
                with path.open("xb") as file:
                    file.write(data)
            except FileExistsError:
                number += 1
            else:
                return path
    except OSError as problem:
        raise ClientError(f"Cannot write to {directory}: {problem.strerror}.") from problem
