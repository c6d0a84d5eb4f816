"""What the doctor says of certificates, shown by a real TLS port: chain, name, end, and the edge's own."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.doctor_address import check_edges_certificate, check_name, check_public_address
from tests.conftest import free_port

PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@contextmanager
def tls_server(certificate: trustme.LeafCert) -> Iterator[int]:
    """Shakes hands with whoever comes, and says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with (
                suppress(OSError),
                connection,
                context.wrap_socket(connection, server_side=True) as session,
            ):
                session.recv(100)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def made_by(name: str) -> trustme.LeafCert:
    """As an edge makes one for itself: by its name, for nobody."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return trustme.LeafCert(private, made.public_bytes(serialization.Encoding.PEM), [])


Issue = Callable[[trustme.CA], trustme.LeafCert]


@pytest.mark.parametrize(
    ("issue", "state", "words"),
    [
        (lambda ca: ca.issue_cert("localhost"), "well", "trusted"),
        (lambda ca: ca.issue_cert("localhost", not_before=PAST - DAY, not_after=PAST), "wrong", "renew"),
        (
            lambda ca: ca.issue_cert("localhost", not_after=datetime.datetime.now(datetime.UTC) + 3 * DAY),
            "warning",
            "not renewed",
        ),
        (lambda ca: ca.issue_cert("other.example"), "wrong", "names localhost"),
        (lambda ca: trustme.CA().issue_cert("localhost"), "wrong", "an authority the clients trust"),
        (
            lambda ca: made_by("TRAEFIK DEFAULT CERT"),
            "wrong",
            "what the authority answered",
        ),
        (lambda ca: made_by("mcp-oauth-gateway"), "wrong", "what the authority answered"),
    ],
    ids=[
        "sound",
        "expired",
        "ends soon",
        "another name",
        "unknown authority",
        "Traefik's own",
        "the edge's own",
    ],
)
async def test_a_certificate_is_judged_by_chain_name_and_end(
    issue: Issue, state: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with tls_server(issue(ca)) as port:
        verdict = await check_edges_certificate("localhost", "127.0.0.1", port)
    assert (verdict.hop, verdict.state) == ("tls", state), verdict
    assert words in (verdict.cure or verdict.what)


async def test_the_public_address_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with tls_server(ca.issue_cert("localhost", not_before=PAST - DAY, not_after=PAST)) as port:
        found = [verdict async for verdict in check_public_address(f"https://localhost:{port}", "x")]
    assert [(verdict.hop, verdict.state) for verdict in found] == [
        ("dns", "well"), ("tcp", "well"), ("tls", "wrong"),
    ]  # fmt: skip
    assert "renew" in found[-1].cure


async def test_an_address_where_nobody_answers_names_the_gateways_own() -> None:
    address = f"http://localhost:{free_port()}"
    found = [verdict async for verdict in check_public_address(address, "http://localhost:8080")]
    assert (found[-1].hop, found[-1].state) == ("url", "wrong")
    assert "http://localhost:8080" in found[-1].cure


async def test_a_name_without_an_address_is_named() -> None:
    """No name ends like this (RFC 6761 section 6.4)."""
    verdict = await check_name("gateway.invalid")
    assert (verdict.hop, verdict.state) == ("dns", "wrong")
    assert "A or AAAA record" in verdict.cure
