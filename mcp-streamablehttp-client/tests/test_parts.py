"""The small parts: challenges, arguments, tokens' times, the store and its keyring."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import pytest
from mcp_streamablehttp_client.cli.arguments import from_words, refusal
from mcp_streamablehttp_client.credentials.records import Server, Tokens
from mcp_streamablehttp_client.credentials.store import Store
from mcp_streamablehttp_client.errors import ClientError, UnreachableError
from mcp_streamablehttp_client.logs import set_up
from mcp_streamablehttp_client.oauth.challenge import Challenge, bearer_challenge
from mcp_streamablehttp_client.proxies import proxy_for

from .support import Json

TOKENS = Tokens("https://as.example", "https://mcp.example/mcp", "https://as.example/token", "c", "secret")


@pytest.fixture
def restored_log() -> Iterator[None]:
    logger = logging.getLogger("mcp_streamablehttp_client")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ([], Challenge()),
        (["Basic realm=x"], Challenge()),
        (['Bearer resource_metadata="https://h/m", scope="a b"'], Challenge("https://h/m", "a b")),
        (["bearer Error=invalid_token"], Challenge(error="invalid_token")),
        (['Basic realm="Bearer scope=no", Bearer scope="yes"'], Challenge(scope="yes")),
        (
            ["Negotiate", 'Bearer scope="with \\"quotes\\", and commas"'],
            Challenge(scope='with "quotes", and commas'),
        ),
        (["Bearer"], Challenge()),
    ],
)
def test_challenges(headers: list[str], challenge: Challenge) -> None:
    assert bearer_challenge(headers) == challenge


SCHEMA: Json = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "on": {"type": "boolean"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"type": ["integer", "string"]},
        "names": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "map": {"type": "object"},
        "any": {},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("text=5", "5"),
        ("text=https://x/?a=b", "https://x/?a=b"),
        ("text=Hello World", "Hello World"),
        ("text=", ""),
        ("count=-5", -5),
        ("ratio=1.5", 1.5),
        ("ratio=2", 2),
        ("on=true", True),
        ("maybe=null", None),
        ("maybe=3", 3),
        ("either=7", 7),
        ("either=seven", "seven"),
        ("names=a", ["a"]),
        ('names=["a", "b"]', ["a", "b"]),
        ("numbers=1", [1]),
        ('map={"a": 1}', {"a": 1}),
        ("any=plain", "plain"),
        ("any=[1]", [1]),
    ],
)
def test_values_are_read_as_the_schema_types_them(word: str, value: object) -> None:
    assert list(from_words((word,), SCHEMA).values()) == [value]


@pytest.mark.parametrize("word", ["count=1.5", "count=true", "on=yes", "map=[]", "=x"])
def test_values_of_another_type_are_refused(word: str) -> None:
    with pytest.raises(ClientError):
        from_words((word,), SCHEMA)


def test_what_the_schema_forbids_is_refused_by_name() -> None:
    values = from_words(("unknown=1",), SCHEMA)
    assert (
        refusal(values, SCHEMA)
        == f"The tool has no argument 'unknown'; it takes {', '.join(SCHEMA['properties'])}."
    )
    assert refusal({"ratio": "2"}, SCHEMA) == "ratio: '2' is not of type 'number'."
    assert refusal({"ratio": 2}, SCHEMA) is None


def test_a_repeated_key_makes_a_list_or_is_refused() -> None:
    assert from_words(("names=a", "names=b"), SCHEMA) == {"names": ["a", "b"]}
    with pytest.raises(ClientError, match="twice"):
        from_words(("text=a", "text=b"), SCHEMA)


def test_a_token_answer_renews_what_it_names_and_keeps_the_rest() -> None:
    first = TOKENS.renewed({"access_token": "1", "refresh_token": "r", "expires_in": 100, "scope": "a"})
    second = first.renewed({"access_token": "2"})
    assert (second.access_token, second.refresh_token, second.scope) == ("2", "r", "a")
    assert second.expires_at is None
    assert not second.expires_soon
    assert first.expires_at == pytest.approx(time.time() + 100, abs=5)


@pytest.mark.parametrize(("lifetime", "soon"), [(3600, False), (1, False), (0, True), (-5, True)])
def test_short_lived_tokens_are_not_renewed_all_the_time(lifetime: int, soon: bool) -> None:
    assert TOKENS.renewed({"access_token": "1", "expires_in": lifetime}).expires_soon is soon


def test_tokens_are_kept_by_issuer_and_resource(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save_tokens(TOKENS)
    assert store.tokens(TOKENS.issuer, TOKENS.resource) == TOKENS
    assert store.tokens("https://other.example", TOKENS.resource) is None
    assert store.tokens(TOKENS.issuer, "https://mcp.example/other") is None


def test_a_damaged_file_is_as_good_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save_server(Server("https://h/mcp", "https://h/mcp", "https://as"))
    (path,) = tmp_path.glob("server-*.json")
    for text in ("", "{", "[]", '{"url": 1}'):
        path.write_text(text)
        assert store.server("https://h/mcp") is None


def test_a_write_that_fails_leaves_the_old_tokens_and_keeps_the_new_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.save_tokens(TOKENS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    new = TOKENS.renewed({"access_token": "new"})
    store.save_tokens(new)
    assert store.tokens(TOKENS.issuer, TOKENS.resource) == new
    assert store.place_of(TOKENS.issuer, TOKENS.resource) == "memory only"
    assert Store(tmp_path).tokens(TOKENS.issuer, TOKENS.resource) == TOKENS
    assert len(list(tmp_path.iterdir())) == 1


class MemoryKeyring(keyring.backend.KeyringBackend):
    priority = 5

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's
        self.entries: dict[tuple[str, str], str] = {}
        self.broken = False

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.broken:
            raise keyring.errors.PasswordSetError("locked")
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def system_keyring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryKeyring:
    backend = MemoryKeyring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_: str(tmp_path))
    monkeypatch.delenv("CREDENTIAL_STORAGE_PATH", raising=False)
    return backend


def test_secrets_go_to_the_keyring_when_one_works(system_keyring: MemoryKeyring, tmp_path: Path) -> None:
    Store().save_tokens(TOKENS)
    assert Store().tokens(TOKENS.issuer, TOKENS.resource) == TOKENS
    assert Store().place == "the system keyring"
    assert len(system_keyring.entries) == 1
    assert not any("secret" in path.read_text() for path in tmp_path.iterdir())
    assert Store().delete_tokens(TOKENS.issuer, TOKENS.resource)
    assert system_keyring.entries == {}


def test_a_keyring_that_refuses_is_replaced_by_a_private_file(
    system_keyring: MemoryKeyring, tmp_path: Path
) -> None:
    system_keyring.broken = True
    Store().save_tokens(TOKENS)
    assert Store().tokens(TOKENS.issuer, TOKENS.resource) == TOKENS
    assert Store().place == str(tmp_path)


def test_a_named_directory_means_files(system_keyring: MemoryKeyring, tmp_path: Path) -> None:
    Store(tmp_path / "own").save_tokens(TOKENS)
    assert system_keyring.entries == {}


def test_proxies_come_from_the_environment_and_never_serve_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%40ss@proxy.example:3128")
    monkeypatch.setenv("no_proxy", ".internal.example")
    proxy = proxy_for(True, "mcp.example", 443)
    assert proxy is not None
    assert (proxy.host, proxy.port) == ("proxy.example", 3128)
    assert proxy.headers == [("Proxy-Authorization", "Basic dXNlcjpwQHNz")]
    assert proxy_for(False, "mcp.example", 80) is None
    assert proxy_for(True, "a.internal.example", 443) is None
    assert proxy_for(True, "127.0.0.1", 443) is None
    monkeypatch.setenv("HTTPS_PROXY", "gopher://proxy.example")
    with pytest.raises(UnreachableError):
        proxy_for(True, "mcp.example", 443)
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setenv("ALL_PROXY", "socks5h://proxy.example")
    for tls in (True, False):
        proxy = proxy_for(tls, "mcp.example", 443)
        assert proxy is not None
        assert (proxy.host, proxy.port, proxy.socks) == ("proxy.example", 1080, True)


def test_a_line_of_the_log_says_what_an_error_was_made_of(
    restored_log: None, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(verbose=True)
    problem = UnreachableError("Cannot connect.")
    problem.__cause__ = OSError("secret")
    logging.getLogger("mcp_streamablehttp_client.x").info("not yet: %s", problem)
    said = capsys.readouterr().err
    assert "not yet: Cannot connect. (OSError in " in said
    assert "secret" not in said
