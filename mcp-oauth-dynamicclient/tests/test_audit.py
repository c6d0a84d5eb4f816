"""One JSON line per decision, and never a secret in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp_oauth_dynamicclient.audit import Audit
from mcp_oauth_dynamicclient.errors import InvalidClientError
from mcp_oauth_dynamicclient.tokens import new_secret


def test_a_decision_is_one_line_with_who_which_what_and_why(tmp_path: Path) -> None:
    audit = Audit(str(tmp_path / "audit.log"), now=lambda: 1_795_455_740.5)
    audit.record(
        "token.issue", outcome="refused", user="github:1", client="client_1",
        resource="https://time.example.com/mcp", reason="not\nin ALLOWED_GITHUB_USERS", address="192.0.2.1",
    )  # fmt: skip
    audit.record("key.rotate", outcome="done")
    audit.close()
    first, second = (tmp_path / "audit.log").read_text().splitlines()
    assert json.loads(first) == {
        "time": "2026-11-23T17:42:20.500+00:00", "event": "token.issue", "outcome": "refused",
        "user": "github:1", "client": "client_1", "resource": "https://time.example.com/mcp",
        "reason": "not\nin ALLOWED_GITHUB_USERS", "address": "192.0.2.1",
    }  # fmt: skip
    assert json.loads(second) == {
        "time": "2026-11-23T17:42:20.500+00:00",
        "event": "key.rotate",
        "outcome": "done",
    }


@pytest.mark.parametrize(
    "text",
    [
        "Bearer abcdefghijklmnopqrst", "basic dXNlcjpwYXNzd29yZDEyMw==", new_secret(), new_secret("reg-"),
        f"the token {new_secret()} was sent twice", "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "-----BEGIN PRIVATE KEY-----",
    ],
    ids=("bearer", "basic", "secret", "with a prefix", "in a sentence", "JWT", "PEM"),
)  # fmt: skip
def test_what_looks_like_a_secret_is_redacted_wherever_it_stands(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    audit = Audit("-")
    audit.record("login", outcome="refused", reason=text, client=text, note=text)
    line = capsys.readouterr().out
    assert text not in line
    assert line.count("[redacted]") == 3


@pytest.mark.parametrize(
    "field", ["access_token", "client_secret", "password", "code", "code_verifier", "cookie"]
)
def test_a_field_named_like_a_secret_is_redacted(capsys: pytest.CaptureFixture[str], field: str) -> None:
    secret: dict[str, Any] = {field: "short"}
    Audit("-").record("login", outcome="refused", **secret)
    assert json.loads(capsys.readouterr().out)[field] == "[redacted]"


def test_the_log_file_is_private_and_is_reopened_after_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.log"
    audit = Audit(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    audit.record("key.rotate", outcome="done")
    path.rename(tmp_path / "audit.log.1")
    monkeypatch.setattr("mcp_oauth_dynamicclient.audit.CHECK_INTERVAL", 0)
    audit.record("key.remove", outcome="done")
    audit.close()
    assert json.loads(path.read_text())["event"] == "key.remove"


def test_the_log_is_told_the_cause_of_an_error_and_no_secret_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = new_secret()
    error = InvalidClientError("The assertion is not valid.")
    error.__cause__ = ValueError(f"{secret} is expired")
    Audit("-").record("client.authenticate", outcome="refused", client="c", error=error)
    line = json.loads(capsys.readouterr().out)
    assert line["reason"] == "The assertion is not valid."
    assert line["detail"] == "ValueError: [redacted] is expired"


FORGED = '\n{"time": "2026-11-23T17:42:20.500+00:00", "event": "account.add", "outcome": "done"}'


def test_what_a_stranger_sends_begins_no_line_and_turns_none(capsys: pytest.CaptureFixture[str]) -> None:
    sent = f"\x1b[2J\u202e\u2028{FORGED}" + "x" * 5000
    error = InvalidClientError("The name {} is nobody's.", quoted=sent)
    error.__cause__ = OSError(sent)
    Audit("-").record("client.authenticate", outcome="refused", claimed_client=sent, error=error)
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert told.isascii()
    line = json.loads(told)
    assert "client" not in line
    assert all(len(line[name]) <= 500 for name in ("claimed_client", "reason", "detail"))
    assert all(line[name].isprintable() for name in ("reason", "detail"))


def test_observers_are_told_no_strangers_words(tmp_path: Path) -> None:
    seen: list[tuple[str, ...]] = []
    audit = Audit(str(tmp_path / "audit.log"), observe=lambda *decision: seen.append(decision))
    error = InvalidClientError("The name {} is nobody's.", quoted="made-up")
    audit.record("authorize", outcome="refused", claimed_client="made-up", error=error)
    audit.record("authorize", outcome="refused", client="cursor", error=error)
    audit.close()
    kind = "The name … is nobody's."
    assert seen == [
        ("authorize", "refused", "unknown", kind),
        ("authorize", "refused", "cursor", kind),
    ]
    first, second = (json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines())
    assert (first["claimed_client"], first["reason"]) == ("made-up", "The name made-up is nobody's.")
    assert second["client"] == "cursor"


def test_observers_are_told_of_each_decision(tmp_path: Path) -> None:
    seen: list[tuple[str, ...]] = []
    audit = Audit(str(tmp_path / "audit.log"), observe=lambda *decision: seen.append(decision))
    audit.record("token.issue", outcome="issued")
    audit.record("access", outcome="refused", client="cursor", reason="revoked")
    audit.close()
    assert seen == [("token.issue", "issued", "", ""), ("access", "refused", "cursor", "revoked")]


def test_closing_twice_closes_nobody_elses_file(tmp_path: Path) -> None:
    audit = Audit(str(tmp_path / "audit.log"))
    audit.close()
    with (tmp_path / "other").open("w") as other:
        audit.close()
        other.write("still open")
        other.flush()
