"""Where the keys come from. A source answers for its own family of algorithms and for no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Protocol

import jwt
from jwt.algorithms import AllowedPublicKeys

from service.errors import InvalidTokenError

VerificationKey = AllowedPublicKeys | bytes

# What a key may verify when the set does not say: by its type and curve (RFC 7518 section 3.1, RFC 8037 section 3.1).
ALGORITHMS_BY_TYPE: dict[tuple[str, str | None], frozenset[str]] = {
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("RSA", None): frozenset({"RS256", "PS256"}),
}
MAXIMUM_KEYS = 100


class KeySource(Protocol):
    """Keys of one family. What is signed with another family's algorithm never sees them (RFC 8725 section 3.1)."""

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms that this source has keys for."""

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


class KeySet:
    """The public keys that an issuer publishes (RFC 7517), by their id. Equal when the keys are."""

    def __init__(self, entries: Iterable[Any]) -> None:
        """Keep the usable JWKs among `entries`; malformed, symmetric and foreign ones are left out."""
        self._keys: dict[str, dict[str, AllowedPublicKeys]] = {}
        self._source: list[Mapping[str, Any]] = []
        for entry in islice(entries, MAXIMUM_KEYS):
            usable = _usable(entry)
            if usable:
                self._keys.setdefault(entry["kid"], {}).update(usable)
                self._source.append(entry)

    @classmethod
    def read(cls, document: object) -> KeySet:
        """The keys of a JWKS document. Raises ValueError when it is no key set, or holds no usable key."""
        listed = document.get("keys") if isinstance(document, dict) else None
        keys = cls(listed if isinstance(listed, list) else ())
        if not keys:
            raise ValueError("no usable key in it")
        return keys

    def find(self, algorithm: str, key_id: str) -> AllowedPublicKeys:
        """The key with this id for this algorithm. Raises InvalidTokenError when there is none."""
        found = self._keys.get(key_id, {})
        if algorithm not in found:
            raise InvalidTokenError("the key with this id is for another algorithm" if found else "unknown key id")
        return found[algorithm]

    def __contains__(self, key_id: object) -> bool:
        """Whether there is a key with this id."""
        return key_id in self._keys

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self._keys)

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same keys."""
        return isinstance(other, KeySet) and self._source == other._source

    __hash__ = None  # type: ignore[assignment]  # reason: that is how Python says "not hashable"


def _usable(entry: Any) -> dict[str, AllowedPublicKeys]:  # noqa: ANN401 - whatever an issuer publishes
    """The public key in a JWK by the algorithms it may verify; empty for one that is not for us."""
    try:
        found = {algorithm: jwt.PyJWK(entry, algorithm) for algorithm in _algorithms(entry)}
    except Exception:  # noqa: BLE001 - one malformed key must not cost the others, however it is malformed
        return {}
    return {
        algorithm: jwk.key
        for algorithm, jwk in found.items()
        if hasattr(jwk.key, "public_bytes") and jwk.Algorithm.check_key_length(jwk.key) is None
    }


def _algorithms(entry: Any) -> frozenset[str]:  # noqa: ANN401 - whatever an issuer publishes
    """What a JWK may verify; nothing when it is private, has no id, or serves another purpose."""
    purpose = entry.get("use", "sig") == "sig" and "verify" in entry.get("key_ops", ["verify"])
    if not purpose or not isinstance(entry["kid"], str) or "d" in entry or "k" in entry:
        return frozenset()
    kind = str(entry["kty"])
    possible = ALGORITHMS_BY_TYPE.get((kind, None if kind == "RSA" else entry.get("crv")), frozenset())
    return possible & {entry["alg"]} if "alg" in entry else possible
