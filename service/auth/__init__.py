"""Verify access tokens and return the identity of the caller. Knows neither the web framework nor the database."""

from service.auth.published import PublishedKeys
from service.auth.tokens import RESERVED_SUBJECT, Identity, TokenVerifier
from service.auth.trust import accepted, published_keys, token_verifier

__all__ = [
    "RESERVED_SUBJECT",
    "Identity",
    "PublishedKeys",
    "TokenVerifier",
    "accepted",
    "published_keys",
    "token_verifier",
]
