"""Find environment variables that look like misspelled settings of the service."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

# A variable with one of these prefixes is most likely meant for the service.
PREFIXES = (
    "AUTH_FAILURE", "BETTER_AUTH_", "CORS_", "DB_", "EVENT_STREAM", "JWKS_", "JWT_", "LOG_", "METRICS_", "MIGRATION",
    "RATE_LIMIT", "TASK_", "TOKEN_CACHE", "TRACE_", "TRASH_",
)  # fmt: skip
# Variables that Better Auth itself reads. Both services may share an environment.
BETTER_AUTH_OWN = re.compile(r"BETTER_AUTH_(TRUSTED_ORIGINS|API_KEY|API_URL|KV_URL|TELEMETRY\w*)")
# Docker and Kubernetes set variables of this form for another service, such as one with the name `db`.
SERVICE_LINK = re.compile(r"\w+_(SERVICE_(HOST|PORT\w*)|PORT_\d+_(TCP|UDP)\w*)")
ALIKE = 0.88  # minimum ratio of difflib: it includes CORS_ORIGIN and DATABASEURL, but not TEST_DATABASE_URL
SHORTEST = 6  # minimum number of characters; shorter names resemble too many others


def unknown_settings(environ: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """Return the variables of `environ` that look like settings but are not in `known`.

    The value is the most similar known name, or an empty text. The function reads no values, except to recognise a
    service link by its `tcp://`.
    """
    found = {}
    for name in sorted(set(environ) - set(known)):
        link = SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and environ[name].startswith(("tcp:", "udp:")))
        if link or BETTER_AUTH_OWN.fullmatch(name) or not environ[name].strip():
            continue
        close = get_close_matches(name.upper(), known, 1, ALIKE) if len(name) >= SHORTEST else []
        if close or name.startswith(PREFIXES):
            found[name] = close[0] if close else ""
    return found
