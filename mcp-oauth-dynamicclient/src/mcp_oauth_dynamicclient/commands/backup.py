"""Backup and restore."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from .. import backup as backups
from ..context import Context
from .running import CommandError, with_context

DASH = Path("-")
passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its first line is the passphrase; otherwise BACKUP_PASSPHRASE, or a prompt.",
)
passphrase_stdin_option = click.option(
    "--passphrase-stdin", is_flag=True, help="The first line of standard input is the passphrase."
)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@passphrase_option
@passphrase_stdin_option
def backup(file: Path, passphrase_file: Path | None, passphrase_stdin: bool) -> None:
    """Write accounts, clients, grants, tokens and keys to FILE, encrypted; it may not exist yet.

    FILE may be -, for standard output.
    """
    passphrase = _passphrase(passphrase_file, passphrase_stdin, confirm=True)

    async def work(ctx: Context) -> bytes:
        return await backups.export(ctx.store, passphrase)

    content = with_context(work)
    if file == DASH:
        sys.stdout.buffer.write(content)
        return
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(content)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
    click.echo(f"Wrote {file} ({len(content)} bytes).")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@passphrase_option
@passphrase_stdin_option
@click.option(
    "--overwrite", is_flag=True, help="Replace entries that exist; otherwise they stay as they are."
)
def restore(file: Path, passphrase_file: Path | None, passphrase_stdin: bool, overwrite: bool) -> None:
    """Read a backup into the store. FILE may be -, for standard input, after a passphrase there."""
    passphrase = _passphrase(passphrase_file, passphrase_stdin, confirm=False)
    content = sys.stdin.buffer.read() if file == DASH else file.read_bytes()

    async def work(ctx: Context) -> backups.Restored:
        done = await backups.restore(ctx.store, content, passphrase, overwrite=overwrite)
        ctx.audit.record("store.restore", outcome="done", written=done.written, kept=done.kept)
        return done

    done = with_context(work)
    click.echo(f"Restored {done.written} entries; {done.kept} existed and were kept.")


def _passphrase(file: Path | None, from_stdin: bool, *, confirm: bool) -> str:
    if from_stdin:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    if file is not None:
        return file.read_text().partition("\n")[0].rstrip("\r")
    if passphrase := os.environ.get("BACKUP_PASSPHRASE"):
        return passphrase
    typed: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return typed
