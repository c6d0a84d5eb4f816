"""Backup and restore."""

from __future__ import annotations

import os
from pathlib import Path

import click

from .. import backup as backups
from ..context import Context
from .running import Failure, with_context

passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its first line is the passphrase; otherwise BACKUP_PASSPHRASE, or a prompt.",
)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@passphrase_option
def backup(file: Path, passphrase_file: Path | None) -> None:
    """Write accounts, clients, grants, tokens and keys to FILE, encrypted; it may not exist yet."""
    passphrase = _passphrase(passphrase_file, confirm=True)

    async def work(ctx: Context) -> bytes:
        return await backups.export(ctx.store, passphrase)

    content = with_context(work)
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(content)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from None
    click.echo(f"Wrote {file} ({len(content)} bytes).")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@passphrase_option
@click.option(
    "--overwrite", is_flag=True, help="Replace entries that exist; otherwise they stay as they are."
)
def restore(file: Path, passphrase_file: Path | None, overwrite: bool) -> None:
    """Read a backup into the store."""
    passphrase = _passphrase(passphrase_file, confirm=False)
    content = file.read_bytes()

    async def work(ctx: Context) -> backups.Restored:
        done = await backups.restore(ctx.store, content, passphrase, overwrite=overwrite)
        ctx.audit.record("store.restore", outcome="done", written=done.written, kept=done.kept)
        return done

    done = with_context(work)
    click.echo(f"Restored {done.written} entries; {done.kept} existed and were kept.")


def _passphrase(file: Path | None, *, confirm: bool) -> str:
    if file is not None:
        return file.read_text().partition("\n")[0].rstrip("\r")
    if passphrase := os.environ.get("BACKUP_PASSPHRASE"):
        return passphrase
    typed: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)
    return typed
