"""Who is calling: a token becomes an identity here, with no knowledge of the web framework or the database."""

from service.auth.keys import KeySource, SharedSecret
from service.auth.tokens import Identity, TokenVerifier

__all__ = ["Identity", "KeySource", "SharedSecret", "TokenVerifier"]
