"""Which addresses of the internet are public: everything else is somebody's own network, or the machine's."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# Source: IANA's special-purpose address registries. Spelled out, since what the standard library calls global differs between
# its versions. 168.63.129.16 looks public and is where a cloud answers its own machines.
NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
        "240.0.0.0/4",
    )
)  # fmt: skip
PUBLIC_6 = IPv6Network("2000::/3")
# Teredo, which wraps an IPv4 address, is among the first.
NOT_PUBLIC_6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20"))
MAPPED, NAT64, SIX_TO_FOUR = IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16")


def public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, by way of no wrapper either. What is none is not public."""
    try:
        # A zone (`fe80::1%eth0`) names an interface of this machine.
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv4Address):
        return not any(found in network for network in NOT_PUBLIC_4)
    wrapped = _wrapped(found)
    if wrapped is not None:
        return public(str(wrapped))
    return found in PUBLIC_6 and not any(found in network for network in NOT_PUBLIC_6)


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a packet to this one would reach in the end."""
    if address in MAPPED or address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return IPv4Address(int(address) >> 80 & 0xFFFFFFFF) if address in SIX_TO_FOUR else None
