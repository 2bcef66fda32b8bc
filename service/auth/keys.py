"""Where the keys come from. A source answers for its own family of algorithms and for no other."""

from __future__ import annotations

from typing import Protocol

from jwt.algorithms import AllowedPublicKeys

VerificationKey = AllowedPublicKeys | bytes


class KeySource(Protocol):
    """Keys of one family. What is signed with another family's algorithm never sees them (RFC 8725 section 3.1)."""

    algorithms: frozenset[str]

    async def find(self, algorithm: str, key_id: str | None) -> VerificationKey:
        """The key to verify with.

        Raises InvalidTokenError when there is no such key, UnavailableError when there are no keys at all yet.
        """


class SharedSecret:
    """The one secret of HS256 tokens: Better Auth's own, when a frontend signs with it."""

    algorithms = frozenset({"HS256"})

    def __init__(self, secret: str) -> None:
        """Keep `secret`, whose length and strength the settings have checked."""
        self._secret = secret.encode()

    async def find(self, algorithm: str, key_id: str | None) -> bytes:  # noqa: ARG002 - one secret serves every id
        """The secret."""
        return self._secret
