"""Whom the settings say to trust."""

from __future__ import annotations

from service.auth.keys import SharedSecret
from service.auth.published import PublishedKeys
from service.auth.tokens import TokenVerifier, Trust
from service.config import PUBLISHED_ALGORITHMS, Settings


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


def token_verifier(settings: Settings, published: PublishedKeys | None) -> TokenVerifier:
    """What verifies tokens under `settings`, with the issuer's keys if there are any."""
    origin = (settings.better_auth_origin,) if settings.better_auth_origin else ()
    trusted = []
    if settings.better_auth_secret and (not settings.jwt_algorithms or "HS256" in settings.jwt_algorithms):
        secret = SharedSecret(settings.better_auth_secret)
        trusted.append(Trust(source=secret, issuers=settings.jwt_issuer, audiences=settings.jwt_audience))
    if published:
        issuers, audiences = settings.jwt_issuer or origin, settings.jwt_audience or origin
        trusted.append(Trust(source=published, issuers=issuers, audiences=audiences))
    verifier = TokenVerifier(
        trusted,
        leeway=settings.jwt_leeway,
        user_claim=settings.jwt_user_claim,
        remembered=settings.token_cache_size,
    )
    if published:
        published.on_change = verifier.forget
    return verifier
