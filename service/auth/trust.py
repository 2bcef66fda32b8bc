"""Create the token verifier that the settings describe."""

from __future__ import annotations

from service.auth.keys import SharedSecret
from service.auth.published import PublishedKeys
from service.auth.tokens import TokenVerifier, Trust
from service.config import Settings
from service.config.parsing import PUBLISHED_ALGORITHMS


def published_keys(settings: Settings) -> PublishedKeys | None:
    """Return the issuer's key set, not fetched yet. None if it is not configured or its algorithms are not accepted."""
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
    """Return a description of the accepted tokens, one line for each source of keys."""
    lines = []
    for trust in trusted_sources(settings, published_keys(settings)):
        names = ", ".join(sorted(trust.source.algorithms))
        count = len(settings.secrets)
        secret = "BETTER_AUTH_SECRET" if count == 1 else f"one of {count} secrets in BETTER_AUTH_SECRET"
        key = secret if isinstance(trust.source, SharedSecret) else f"the keys at {settings.key_set_url}"
        issuer = f"issuer {' or '.join(trust.issuers)}" if trust.issuers else "any issuer"
        audience = f"audience {' or '.join(trust.audiences)}" if trust.audiences else "any audience"
        lines.append(f"{names} with {key}, {issuer}, {audience}")
    return lines


def token_verifier(settings: Settings, published: PublishedKeys | None) -> TokenVerifier:
    """Return the verifier that `settings` describe, with the keys that the issuer has `published`."""
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
    """Return the trusted sources of keys, each with its issuers and audiences."""
    origin = (settings.better_auth_origin,) if settings.better_auth_origin else ()
    trusted = []
    if settings.secrets and (not settings.jwt_algorithms or "HS256" in settings.jwt_algorithms):
        secret = SharedSecret(*settings.secrets)
        trusted.append(Trust(source=secret, issuers=settings.jwt_issuer, audiences=settings.jwt_audience))
    if published:
        issuers, audiences = settings.jwt_issuer or origin, settings.jwt_audience or origin
        trusted.append(Trust(source=published, issuers=issuers, audiences=audiences))
    return trusted
