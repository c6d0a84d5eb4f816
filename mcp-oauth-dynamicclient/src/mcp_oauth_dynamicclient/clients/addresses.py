"""Which addresses a URL named by a stranger may lead to: public unicast only, however it is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
MAPPED = IPv6Network("::ffff:0:0/96")
TRANSLATED = IPv6Network("::ffff:0:0:0/96")
COMPATIBLE = IPv6Network("::/96")
TEREDO = IPv6Network("2001::/32")
SIX_TO_FOUR = IPv6Network("2002::/16")
ISATAP = (0x00005EFE, 0x02005EFE)
LOW_32 = 0xFFFFFFFF


def is_public(text: str) -> bool:
    """Whether an address is globally reachable unicast, and every IPv4 address embedded in it is too."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)
    if address.scope_id is not None or not all(_is_public_v4(inner) for inner in embedded(address)):
        return False
    if address in NAT64 or address in MAPPED:
        return True
    return address in GLOBAL_UNICAST and address.is_global and not address.is_reserved


def _is_public_v4(address: IPv4Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def embedded(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for: mapped, compatible and translated (RFC 4291,
    RFC 2765), NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo server and client (RFC 4380), ISATAP (RFC 5214)."""
    number = int(address)
    found = []
    if any(address in network for network in (MAPPED, TRANSLATED, COMPATIBLE, NAT64)):
        found.append(number & LOW_32)
    if address in SIX_TO_FOUR:
        found.append(number >> 80 & LOW_32)
    if address in TEREDO:
        found += [number >> 64 & LOW_32, ~number & LOW_32]
    if number >> 32 & LOW_32 in ISATAP:
        found.append(number & LOW_32)
    return [IPv4Address(value) for value in found]
