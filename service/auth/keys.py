"""The sources of verification keys: shared secrets and published key sets. Each has its own family of algorithms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import jwt
from jwt.algorithms import AllowedPublicKeys

from service.config.parsing import ALGORITHM_ALIASES
from service.errors import InvalidTokenError

VerificationKey = AllowedPublicKeys | bytes

# The algorithms of a key without `alg`, by its type and curve (RFC 7518 section 3.1, RFC 8037 section 3.1).
ALGORITHMS_BY_TYPE: dict[tuple[str, str | None], frozenset[str]] = {
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("RSA", None): frozenset({"RS256", "PS256"}),
}
MAXIMUM_KEYS = 100


class KeySource(Protocol):
    """The keys of one family of algorithms. They never verify a token of another family (RFC 8725 section 3.1)."""

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms of this source's keys."""

    def known(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Return the known keys for a token, without I/O. Empty if a fetch may find a key.

        Raises InvalidTokenError if there cannot be such a key.
        """

    async def find(self, algorithm: str, key_id: str | None) -> Sequence[VerificationKey]:
        """Return the keys for a token. A signature by one of them is enough.

        Raises InvalidTokenError if there is no such key, and UnavailableError if no keys have been fetched yet.
        """

    async def successors(self, algorithm: str) -> Sequence[VerificationKey]:
        """Return the keys that replace the known ones, for a token without a key id that no known key verifies.

        Raises the errors of `find`.
        """


class SharedSecret:
    """The secret of HS256 tokens, or several secrets during a rotation."""

    algorithms = frozenset({"HS256"})

    def __init__(self, *secrets: str) -> None:
        """Store `secrets`. The settings have already checked their length and strength."""
        self._secrets = tuple(secret.encode() for secret in secrets)

    def known(self, algorithm: str, key_id: str | None) -> Sequence[bytes]:  # noqa: ARG002 - secrets have no ids
        """Return all secrets."""
        return self._secrets

    async def find(self, algorithm: str, key_id: str | None) -> Sequence[bytes]:
        """Return all secrets."""
        return self.known(algorithm, key_id)

    async def successors(self, algorithm: str) -> Sequence[bytes]:  # noqa: ARG002 - as above
        """Return none, because secrets do not change while the service runs."""
        return ()


class KeySet:
    """The public keys that an issuer publishes (RFC 7517), by key id. Two sets are equal if their keys are."""

    def __init__(self, entries: Iterable[Any]) -> None:
        """Store the usable JWKs among `entries`; skip malformed, symmetric and unsupported ones."""
        # By id. A key without an id is stored under its position in the list, an integer that no token can name.
        self._keys: dict[str | int, dict[str, AllowedPublicKeys]] = {}
        self._source: list[Mapping[str, Any]] = []
        for place, entry in enumerate(islice(entries, MAXIMUM_KEYS)):
            usable = _usable(entry)
            if usable:
                self._keys.setdefault(entry.get("kid", place), {}).update(usable)
                self._source.append(entry)

    @classmethod
    def read(cls, document: object) -> KeySet:
        """Read the keys of a JWKS document. Raises ValueError if it is no key set or contains no usable key."""
        listed = document.get("keys") if isinstance(document, dict) else None
        keys = cls(listed if isinstance(listed, list) else ())
        if not keys:
            raise ValueError("no usable key in it")  # the message goes into the log
        return keys

    def find(self, algorithm: str, key_id: str | None) -> AllowedPublicKeys | None:
        """Return the key with this id for this algorithm; without an id, the only key for it. None if unknown.

        Raises InvalidTokenError if the key with this id is for another algorithm, or if the id is missing and there
        are several keys.
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
        """Return whether there is a key with this id."""
        return key_id in self._keys

    def __len__(self) -> int:
        """Return the number of key ids."""
        return len(self._keys)

    def __eq__(self, other: object) -> bool:
        """Return whether both contain the same keys."""
        return isinstance(other, KeySet) and self._source == other._source

    __hash__ = None  # type: ignore[assignment]  # reason: Python marks a class as not hashable in this way


def _usable(entry: Any) -> dict[str, AllowedPublicKeys]:  # noqa: ANN401 - whatever an issuer publishes
    """Return a JWK's public key under each of its algorithms; empty if it cannot verify access tokens."""
    try:
        found = {algorithm: jwt.PyJWK(entry, algorithm) for algorithm in _algorithms(entry)}
    except Exception:  # noqa: BLE001 - a malformed key of any kind must not make the other keys unusable
        return {}
    return {
        algorithm: jwk.key
        for algorithm, jwk in found.items()
        if hasattr(jwk.key, "public_bytes") and jwk.Algorithm.check_key_length(jwk.key) is None
    }


def _algorithms(entry: Any) -> frozenset[str]:  # noqa: ANN401 - whatever an issuer publishes
    """Return the algorithms that a JWK may verify.

    Empty if the JWK is private or symmetric, has an id that is not a string, or is meant for another use.
    """
    purpose = entry.get("use", "sig") == "sig" and "verify" in entry.get("key_ops", ["verify"])
    if not purpose or not isinstance(entry.get("kid", ""), str) or "d" in entry or "k" in entry:
        return frozenset()
    kind = str(entry["kty"])
    possible = ALGORITHMS_BY_TYPE.get((kind, None if kind == "RSA" else entry.get("crv")), frozenset())
    if "alg" not in entry:
        return possible
    return possible & {ALGORITHM_ALIASES.get(entry["alg"], entry["alg"])}
