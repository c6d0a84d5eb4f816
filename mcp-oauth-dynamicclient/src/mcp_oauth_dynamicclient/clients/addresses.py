"""Which addresses a URL named by a stranger may lead to: public unicast only, however it is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

GLOBAL_UNICAST = IPv6Network("2000::/3")
MAPPED = IPv6Network("::ffff:0:0/96")
NAT64 = IPv6Network("64:ff9b::/96")
TUNNELS = (IPv6Network("2001::/23"), IPv6Network("2002::/16"))
"""Teredo and other IETF assignments, 6to4: they lead to an IPv4 address in the middle of nowhere."""
RELAYS = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
"""IETF assignments and 6to4 relays, which not every Python counts as special."""
ISATAP = (0x00005EFE, 0x02005EFE)
LOW_32 = 0xFFFFFFFF


def is_public(text: str) -> bool:
    """Whether an address is globally reachable unicast, and an IPv4 address embedded in it is too."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    inner = embedded(address)
    if address.scope_id is not None or (inner is not None and not _is_public_v4(inner)):
        return False
    return address in MAPPED or address in NAT64 or _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in network for network in RELAYS)
    return address.is_global and not special


def _is_public_v6(address: IPv6Address) -> bool:
    return address in GLOBAL_UNICAST and address.is_global and not any(address in one for one in TUNNELS)


def embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address behind an IPv6 address: mapped (RFC 4291), NAT64 (RFC 6052), ISATAP (RFC 5214). Other
    forms (compatible, translated, 6to4, Teredo, local NAT64) are not public whatever they embed."""
    number = int(address)
    if address in MAPPED or address in NAT64 or number >> 32 & LOW_32 in ISATAP:
        return IPv4Address(number & LOW_32)
    return None
