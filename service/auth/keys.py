"""Where the keys come from. A source answers for its own family of algorithms and for no other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import jwt
from jwt.algorithms import AllowedPublicKeys

from service.config.parsing import ALGORITHM_ALIASES
from service.errors import InvalidTokenError

VerificationKey = AllowedPublicKeys | bytes

# What a key may verify when the set does not say: by its type and curve (RFC 7518 section 3.1, RFC 8037 section 3.1).
ALGORITHMS_BY_TYPE: dict[tuple[str, str | None], frozenset[str]] = {
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("RSA", None): frozenset({"RS256", "PS256"}),
}
MAXIMUM_KEYS = 100


class KeySource(Protocol):
    """Keys of one family. What is signed with another family's algorithm never sees them (RFC 8725 section 3.1)."""

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms that this source has keys for."""

    def known(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """The keys at hand to verify with, without a question to anybody; empty if there may be one elsewhere.

        Raises InvalidTokenError when there cannot be one.
        """

    async def find(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """The keys to verify with; a signature by one of them is enough.

        Raises InvalidTokenError when there is no such key, UnavailableError when there are no keys at all yet.
        """

    async def successors(self, algorithm: str) -> Sequence[VerificationKey]:
        """The keys that have come in place of those at hand, for a token without an id that none of them fits.

        Raises as `find` does.
        """


class SharedSecret:
    """The secret of HS256 tokens, or several of them while one is rotated."""

    algorithms = frozenset({"HS256"})

    def __init__(self, *secrets: str) -> None:
        """Keep `secrets`, whose length and strength the settings have checked."""
        self._secrets = tuple(secret.encode() for secret in secrets)

    def known(self, algorithm: str, key_id: str | None) -> Sequence[bytes]:  # noqa: ARG002 - they serve every id
        """Give all secrets."""
        return self._secrets

    async def find(self, algorithm: str, key_id: str | None) -> Sequence[bytes]:
        """Give all secrets."""
        return self.known(algorithm, key_id)

    async def successors(self, algorithm: str) -> Sequence[bytes]:  # noqa: ARG002 - as above
        """Give none: secrets do not change while the service runs."""
        return ()


class KeySet:
    """The public keys that an issuer publishes (RFC 7517), by their id. Equal when the keys are."""

    def __init__(self, entries: Iterable[Any]) -> None:
        """Keep the usable JWKs among `entries`; malformed, symmetric and foreign ones are left out."""
        # By id; a key without one has its place in the list as its id, which no token can name.
        self._keys: dict[str | int, dict[str, AllowedPublicKeys]] = {}
        self._source: list[Mapping[str, Any]] = []
        for place, entry in enumerate(islice(entries, MAXIMUM_KEYS)):
            usable = _usable(entry)
            if usable:
                self._keys.setdefault(entry.get("kid", place), {}).update(usable)
                self._source.append(entry)

    @classmethod
    def read(cls, document: object) -> KeySet:
        """The keys of a JWKS document. Raises ValueError when it is no key set, or holds no usable key."""
        listed = document.get("keys") if isinstance(document, dict) else None
        keys = cls(listed if isinstance(listed, list) else ())
        if not keys:
            raise ValueError("no usable key in it")
        return keys

    def find(self, algorithm: str, key_id: str | None) -> AllowedPublicKeys | None:
        """Give the key with this id for this algorithm; without an id, the only key for it. None if it is unknown.

        Raises InvalidTokenError if the id is that of a key for another algorithm, or if an id is needed.
        """
        if key_id is not None:
            found = self._keys.get(key_id, {})
            if found and algorithm not in found:
                raise InvalidTokenError("the key with this id is for another algorithm")
            return found.get(algorithm)
        fitting = [key[algorithm] for key in self._keys.values() if algorithm in key]
        if len(fitting) > 1:
            raise InvalidTokenError("no key id, and several keys are published for this algorithm")
        return fitting[0] if fitting else None

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
    """What a JWK may verify; nothing when it is private, has an id that is no text, or serves another purpose."""
    purpose = entry.get("use", "sig") == "sig" and "verify" in entry.get("key_ops", ["verify"])
    if not purpose or not isinstance(entry.get("kid", ""), str) or "d" in entry or "k" in entry:
        return frozenset()
    kind = str(entry["kty"])
    possible = ALGORITHMS_BY_TYPE.get((kind, None if kind == "RSA" else entry.get("crv")), frozenset())
    if "alg" not in entry:
        return possible
    return possible & {ALGORITHM_ALIASES.get(entry["alg"], entry["alg"])}
