"""Which addresses a webhook may reach: the public ones, and what the operator allows.

By tables of our own: what ``ipaddress`` calls global differs between Python 3.11 and 3.13, and
includes multicast, NAT64 and the long-deprecated site-local addresses in both.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The IANA IPv4 Special-Purpose Address Registry (RFC 6890) and multicast (RFC 5771).
_IPV4_NOT_PUBLIC: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this network": 0.0.0.0 reaches this very host
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers, and by clouds for their own services
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local; clouds answer with credentials at 169.254.169.254
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

_IPV6_PUBLIC: Final = IPv6Network("2000::/3")  # all that IANA gives out for global unicast
# The IANA IPv6 Special-Purpose Address Registry, as far as it lies in there.
_IPV6_NOT_PUBLIC: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo carries an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 carries an IPv4 address
        "3fff::/20",  # documentation
    )
)

_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_LAST_32_BITS: Final = 0xFFFF_FFFF


def may_be_reached(address: str, allowed: Sequence[Network]) -> bool:
    """Return whether *address*, in numbers, is public or in one of the *allowed* networks.

    An IPv6 address that stands for an IPv4 address is judged as that one.
    """
    try:
        meant = _meant(ip_address(address))
    except ValueError:
        return False
    return _is_public(meant) or any(meant in network for network in allowed)


def _meant(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & _LAST_32_BITS)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _IPV4_NOT_PUBLIC)
    return address in _IPV6_PUBLIC and not any(address in n for n in _IPV6_NOT_PUBLIC)
