"""Requests of this machine itself, which need no token for what is served to it alone."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

from service.web.request import ApiRequest

HOST = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.ASCII | re.IGNORECASE)
# Headers that proxies, tunnels and CDNs add. `X-Forwarded-…` is any name with that beginning.
FORWARDING = frozenset({
    "cf-connecting-ip", "cf-ray", "client-ip", "fastly-client-ip", "fly-client-ip", "forwarded", "forwarded-for",
    "ngrok-trace-id", "true-client-ip", "via", "x-client-ip", "x-cluster-client-ip", "x-envoy-external-address",
    "x-forwarded", "x-original-forwarded-for", "x-original-host", "x-real-ip", "x-request-start",
})  # fmt: skip


def is_local(request: ApiRequest) -> bool:
    """Whether the request was made on this machine and for it, with no proxy in between.

    A peer on loopback alone proves nothing: it may be a proxy on this machine that passes strangers on. So the Host
    header must name this machine too, which also keeps out DNS rebinding, and no header may say that the request was
    forwarded. HTTP/1.0 is refused because nginx speaks it to upstreams by default, with a Host of its own making and
    no such header; Prometheus, curl and browsers speak HTTP/1.1.
    """
    hosts = request.headers.getall("host", ())
    return (
        _is_loopback(request.ip)
        and request.version == "1.1"
        and len(hosts) == 1
        and HOST.fullmatch(hosts[0]) is not None
        and not any(name in FORWARDING or name.startswith("x-forwarded-") for name in request.headers)
    )


def _is_loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
