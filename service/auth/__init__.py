"""Who is calling: a token becomes an identity here, with no knowledge of the web framework or the database."""

from service.auth.published import PublishedKeys
from service.auth.tokens import Identity, TokenVerifier
from service.auth.trust import accepted, published_keys, token_verifier

__all__ = ["Identity", "PublishedKeys", "TokenVerifier", "accepted", "published_keys", "token_verifier"]
