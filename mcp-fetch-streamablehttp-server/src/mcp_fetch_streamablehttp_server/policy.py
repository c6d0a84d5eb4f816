"""The operator's word on where pages may come from, on top of the public internet only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from ._common.addresses import AddressPolicy, AddressRefusedError, literal
from ._common.host_origin import HostRule

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class SitePolicy(AddressPolicy):
    """`only` (if any) and `denied` name hosts; `networks` are private ones that may be fetched from all the
    same, and `denied_networks` public ones that may not."""

    only: Collection[HostRule] = ()
    denied: Collection[HostRule] = ()
    networks: Collection[Network] = ()
    denied_networks: Collection[Network] = ()

    def check_host(self, host: str, port: int) -> str:
        name = super().check_host(host, port)
        shown = f"[{name}]" if ":" in name else name
        if any(rule.allows(f"{shown}:{port}") for rule in self.denied):
            raise AddressRefusedError(f"{name} is on this server's list of hosts that are not fetched from.")
        if self.only and not any(rule.allows(f"{shown}:{port}") for rule in self.only):
            raise AddressRefusedError(f"{name} is not on this server's list of hosts that are fetched from.")
        return name

    def check_addresses(self, host: str, port: int, found: Collection[str]) -> None:
        if (host, port) in self.exempt:
            return
        addresses = [address for text in found if (address := literal(text)) is not None]
        if any(address in network for address in addresses for network in self.denied_networks):
            raise AddressRefusedError(f"{host} is in a network that this server does not fetch from.")
        opened = {
            str(address) for address in addresses if any(address in network for network in self.networks)
        }
        others = [text for text in found if str(literal(text)) not in opened]
        if others or not opened:
            super().check_addresses(host, port, others)


def network(text: str) -> Network:
    """Raises ValueError."""
    if "/" not in text:
        ip_address(text)
    return IPv6Network(text) if ":" in text else IPv4Network(text)
