"""Whom the settings say to trust."""

from __future__ import annotations

from service.auth.keys import SharedSecret
from service.auth.published import PublishedKeys
from service.auth.tokens import TokenVerifier, Trust
from service.config import Settings
from service.config.parsing import PUBLISHED_ALGORITHMS


def published_keys(settings: Settings) -> PublishedKeys | None:
    """The issuer's keys, not yet fetched; None when no key set is configured, or none of its algorithms is wanted."""
    wanted = frozenset(settings.jwt_algorithms or PUBLISHED_ALGORITHMS) & frozenset(PUBLISHED_ALGORITHMS)
    if not (settings.key_set_url and wanted):
        return None
    return PublishedKeys(
        settings.key_set_url,
        algorithms=wanted,
        cooldown=settings.jwks_cooldown,
        max_stale=settings.jwks_max_stale,
    )


def accepted(settings: Settings) -> list[str]:
    """Which tokens `settings` accept, a line for each family, for people to read."""
    lines = []
    for trust in trusted_sources(settings, published_keys(settings)):
        names = ", ".join(sorted(trust.source.algorithms))
        count = len(settings.secrets)
        secret = "BETTER_AUTH_SECRET" if count == 1 else f"one of {count} secrets in BETTER_AUTH_SECRET"
        key = secret if isinstance(trust.source, SharedSecret) else f"the keys at {settings.key_set_url}"
        issuers = " or ".join(trust.issuers) or "anybody"
        audiences = " or ".join(trust.audiences) or "anybody"
        lines.append(f"{names} with {key}, issued by {issuers}, meant for {audiences}")
    return lines


def token_verifier(settings: Settings, published: PublishedKeys | None) -> TokenVerifier:
    """What verifies tokens under `settings`, with the issuer's keys if there are any."""
    verifier = TokenVerifier(
        trusted_sources(settings, published),
        leeway=settings.jwt_leeway,
        user_claim=settings.jwt_user_claim,
        remembered=settings.token_cache_size,
    )
    if published:
        published.on_change = verifier.forget
    return verifier


def trusted_sources(settings: Settings, published: PublishedKeys | None) -> list[Trust]:
    """The families of keys that `settings` trust, each with the issuers and audiences it is trusted for."""
    origin = (settings.better_auth_origin,) if settings.better_auth_origin else ()
    trusted = []
    if settings.secrets and (not settings.jwt_algorithms or "HS256" in settings.jwt_algorithms):
        secret = SharedSecret(*settings.secrets)
        trusted.append(Trust(source=secret, issuers=settings.jwt_issuer, audiences=settings.jwt_audience))
    if published:
        issuers, audiences = settings.jwt_issuer or origin, settings.jwt_audience or origin
        trusted.append(Trust(source=published, issuers=issuers, audiences=audiences))
    return trusted
