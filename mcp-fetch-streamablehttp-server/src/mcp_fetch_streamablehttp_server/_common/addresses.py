"""Where a stranger may send us: the hosts, ports and addresses that are no server-side request forgery.

The standard library alone, so that whatever makes the connection can ask.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address


class AddressError(Exception):
    """An address cannot be used; the message is one sentence that names it."""


class AddressRefusedError(AddressError):
    """The policy forbids it; nothing was connected to."""


# Not places of the public web, whatever this Python's registry says: IETF protocol assignments (RFC 6890)
# with a cloud's metadata service among them, the 6to4 relay anycast range (RFC 7526), Azure's host agent.
_NOT_WEB_V4 = tuple(IPv4Network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"))

# Forms that carry an IPv4 address which a router on the way would go to (RFC 4291 2.5.5.2, RFC 6052 2.1).
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")

# The only block IANA assigns to global unicast, and what in it is not the public web: IETF protocol
# assignments with Teredo (RFC 4380), documentation, 6to4 (RFC 3056), documentation again (RFC 9637).
_UNICAST = IPv6Network("2000::/3")
_NOT_WEB_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_ISATAP = 0x00005EFE  # upper half of the interface identifier, RFC 5214 6.1; 0x0200 marks a universal one

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


def is_public(address: Address | str) -> bool:
    """Whether a packet to the address goes to the public internet, whatever form it is written in.

    Text that is no address is not public.
    """
    if isinstance(address, str):
        found = literal(address)
        return found is not None and is_public(found)
    if isinstance(address, IPv4Address):
        return (
            address.is_global
            and not address.is_multicast
            and not any(address in network for network in _NOT_WEB_V4)
        )
    if address.scope_id is not None:
        return False
    if address in _MAPPED or address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return (
        address in _UNICAST
        and address.is_global
        and not any(address in network for network in _NOT_WEB_V6)
        and (int(address) >> 32) & 0xFDFFFFFF != _ISATAP
    )


@dataclass(frozen=True)
class AddressPolicy:
    """`ports` None means any port; `exempt` names (host, port) pairs that an operator vouches for."""

    ports: Collection[int] | None
    exempt: Collection[tuple[str, int]] = ()

    def check_host(self, host: str, port: int) -> str:
        """The host in its one normal form. Raises AddressRefusedError; looks nothing up."""
        name = normal_host(host)
        if (name, port) in self.exempt:
            return name
        if name == "localhost" or name.endswith(".localhost"):
            raise AddressRefusedError(
                f"{name} is this machine itself, and only public addresses are fetched."
            )
        if self.ports is not None and port not in self.ports:
            allowed = ", ".join(str(number) for number in sorted(self.ports))
            raise AddressRefusedError(
                f"Port {port} is not fetched from; the ports allowed here are {allowed}."
            )
        address = literal(name)
        if address is not None:
            self.check_addresses(name, port, [str(address)])
        return name

    def check_addresses(self, host: str, port: int, found: Collection[str]) -> None:
        """All addresses of a host must be public. Raises AddressRefusedError."""
        if (host, port) in self.exempt:
            return
        if not found:
            raise AddressRefusedError(f"{host} has no address.")
        for text in found:
            if not is_public(text):
                raise AddressRefusedError(
                    f"{host} is not on the public internet, and only public addresses are fetched."
                )


def normal_host(host: str) -> str:
    """The host in lower case, without a trailing dot; an address in its canonical text.

    Raises AddressRefusedError if it is ambiguous.
    """
    name = host.lower().removesuffix(".")
    address = literal(name)
    if address is not None:
        return str(address)
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise AddressRefusedError(
            f"{host!r} is an unusual way to write an address; write it as four decimal numbers."
        )
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressRefusedError(f"{host!r} is not a host name.")
    return name


def literal(host: str) -> Address | None:
    """The address when the host is one in standard notation (no octal, hexadecimal or shortened IPv4)."""
    try:
        return ip_address(host)
    except ValueError:
        return None
