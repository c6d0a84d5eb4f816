"""The address policy: what counts as the public internet, in every spelling."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses import AddressPolicy, AddressRefusedError, is_public, normal_host

PORTS = frozenset({80, 443, 8080, 8443})
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::808:808",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:127.0.0.1",
    "2606:2800:220:1:0:5efe:93.184.216.34",
    "2606:2800:220:1:200:5efe:93.184.216.34",
    "fe80::5efe:10.0.0.1",
    "::93.184.216.34",
    "2001:0:5db8:d822:0:0:f5ff:fffe",
    "3fff:fff:ffff::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "172.15.0.1",
    "172.217.0.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_not_public(text: str) -> None:
    assert is_public(ip_address(text)) is False
    assert is_public(text) is False


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert is_public(ip_address(text)) is True
    assert is_public(text) is True


@pytest.mark.parametrize(
    "text", ["", "example.com", "127.1", "0x7f.1", "1.2.3.4.5", "[2606:4700::1111]", "8.8.8.8 "]
)
def test_text_that_is_no_address_is_not_public(text: str) -> None:
    assert is_public(text) is False


@given(st.ip_addresses(v=4), st.sampled_from([0x5EFE, 0x2005EFE]))
def test_no_isatap_address_is_public(inner: IPv4Address, marker: int) -> None:
    """RFC 5214 section 6.1: the interface identifier carries an IPv4 address, local or universal."""
    assert not is_public(IPv6Address(0x2606280002200001 << 64 | marker << 32 | int(inner)))


@given(st.ip_addresses(v=4), st.sampled_from([0, 0xFFFF << 32, 0x64FF9B << 96, 0xFFFF << 48]))
def test_no_ipv6_form_makes_an_ipv4_address_more_public(inner: IPv4Address, prefix: int) -> None:
    if is_public(IPv6Address(prefix | int(inner))):
        assert is_public(inner)


@given(st.ip_addresses(v=4))
def test_a_public_address_is_global_unicast(address: IPv4Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not any((address.is_multicast, address.is_private, address.is_loopback, address.is_link_local))


@pytest.mark.parametrize(
    "host",
    [
        "0x7f000001",
        "2130706433",
        "127.1",
        "0177.0.0.1",
        "0",
        "127.0.0.0x1",
        "1.2.3.4.5",
        "127.0.0.01",
        "010.0.0.1",
    ],
)
def test_unusual_spellings_of_addresses_are_refused_as_such(host: str) -> None:
    with pytest.raises(AddressRefusedError, match="unusual way to write an address"):
        normal_host(host)


@pytest.mark.parametrize(
    "host", ["", ".", "a..b", "-a.com", "a b", "a_b..", "x" * 64, "a/b", "a%00.com", "*"]
)
def test_what_is_no_host_name_is_refused(host: str) -> None:
    with pytest.raises(AddressRefusedError):
        normal_host(host)


def test_one_normal_form() -> None:
    assert normal_host("Example.COM.") == "example.com"
    assert normal_host("::FFFF:7F00:1") == "::ffff:7f00:1"
    assert normal_host("127.0.0.1.") == "127.0.0.1"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "app.localhost", "127.0.0.1.", "::1", "10.1.2.3"]
)
def test_names_and_literals_of_this_machine_are_refused_without_a_lookup(host: str) -> None:
    with pytest.raises(AddressRefusedError):
        AddressPolicy(PORTS).check_host(host, 80)


def test_one_bad_address_condemns_the_host() -> None:
    policy = AddressPolicy(PORTS)
    policy.check_addresses("example.com", 443, ["1.1.1.1", "2606:4700::1111"])
    for bad in ("10.0.0.1", "::1", "fe80::1%1", "not an address"):
        with pytest.raises(AddressRefusedError, match=r"example\.com is not on the public internet"):
            policy.check_addresses("example.com", 443, ["1.1.1.1", bad])
    with pytest.raises(AddressRefusedError, match="has no address"):
        policy.check_addresses("example.com", 443, [])


def test_ports() -> None:
    with pytest.raises(
        AddressRefusedError,
        match="Port 6379 is not fetched from; the ports allowed here are 80, 443, 8080, 8443",
    ):
        AddressPolicy(PORTS).check_host("example.com", 6379)
    assert AddressPolicy(None).check_host("example.com", 6379) == "example.com"


def test_an_exemption_is_for_one_host_and_one_port() -> None:
    policy = AddressPolicy(PORTS, {("wiki.internal", 8000)})
    assert policy.check_host("Wiki.Internal.", 8000) == "wiki.internal"
    policy.check_addresses("wiki.internal", 8000, ["10.0.0.5"])
    with pytest.raises(AddressRefusedError):
        policy.check_addresses("wiki.internal", 80, ["10.0.0.5"])
    with pytest.raises(AddressRefusedError):
        policy.check_addresses("db.internal", 8000, ["10.0.0.5"])
