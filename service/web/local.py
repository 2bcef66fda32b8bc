"""Recognise requests from this machine itself, which need no token for local routes such as /metrics."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

from service.web.request import ApiRequest

HOST = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.ASCII | re.IGNORECASE)
# Headers that proxies, tunnels and CDNs add. Any name that begins with `X-Forwarded-` counts too.
FORWARDING = frozenset({
    "cf-connecting-ip", "cf-ray", "client-ip", "fastly-client-ip", "fly-client-ip", "forwarded", "forwarded-for",
    "ngrok-trace-id", "true-client-ip", "via", "x-client-ip", "x-cluster-client-ip", "x-envoy-external-address",
    "x-forwarded", "x-original-forwarded-for", "x-original-host", "x-real-ip", "x-request-start",
})  # fmt: skip


def is_local(request: ApiRequest) -> bool:
    """Return whether the request comes from this machine and is meant for it, without a proxy in between.

    A loopback address alone proves nothing, because a proxy on this machine may forward requests of other clients.
    Therefore the Host header must also name this machine, which prevents DNS rebinding too, and no header may indicate
    a proxy. HTTP/1.0 is refused, because nginx uses it for upstreams by default, with its own Host and without such a
    header. Prometheus, curl and browsers use HTTP/1.1.
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
