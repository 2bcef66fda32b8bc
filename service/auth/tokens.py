"""Verify access tokens (RFC 7519, RFC 8725). The reason of a refusal goes into the log only."""

from __future__ import annotations

import contextlib
import re
import time
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

import jwt
from jwt.algorithms import OKPAlgorithm

from service.auth.keys import KeySource, VerificationKey
from service.config.parsing import ALGORITHM_ALIASES
from service.errors import InvalidTokenError

# RFC 9864's name for EdDSA with Ed25519, which PyJWT does not know. The key sets hold no other OKP keys than Ed25519.
with contextlib.suppress(ValueError):  # raised by a version of PyJWT that knows the name
    jwt.register_algorithm("Ed25519", OKPAlgorithm())

# JWS compact serialisation: three parts of base64url without padding (RFC 7515 section 7.1).
COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
# The reason for clients of Better Auth that send the session token by mistake.
NO_JWT = "not a JWT; a session token or cookie may have been sent, the JWT comes from GET /api/auth/token"
MAXIMUM_TOKEN_LENGTH = 7_000
TOO_LONG = (
    f"The access token is longer than {MAXIMUM_TOKEN_LENGTH:,} characters; remove large claims from it, such as the "
    "user's image (in Better Auth: definePayload of the jwt plugin)."
)
# The names of `alg` that PyJWT shall accept for an algorithm: the name itself and its alias.
NAMES = {meant: [meant, name] for name, meant in ALGORITHM_ALIASES.items()}
# Headers with which a token could choose its own key, or change what its signature covers (RFC 8725 section 3.10).
FORBIDDEN_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"})
# Better Auth's session cookie may also be a JWT that is signed with a published key and names the user as subject. Only
# its type, `better-auth.session-cache+jwt`, distinguishes it (RFC 8725 section 3.11). RFC 9068 defines `at+jwt`.
ACCESS_TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
MAXIMUM_KEY_ID_LENGTH = 256
MAXIMUM_SUBJECT_LENGTH = 255
MAXIMUM_EMAIL_LENGTH = 320  # RFC 5321 section 4.5.3.1: 64 before the @, 255 after it
MAXIMUM_SHOWN = 300  # characters of a claim in the log
LATEST_MOMENT = 253_402_300_799  # the last second of the year 9999
RESERVED_SUBJECT = "me"  # stands for the caller in paths


class Identity(NamedTuple):
    """The user of a verified token. `expires_at` is in seconds since the epoch."""

    user_id: str
    email: str | None
    name: str | None
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A source of keys, and the issuers and audiences of tokens that are signed with them."""

    source: KeySource
    issuers: tuple[str, ...] = ()  # empty: any
    audiences: tuple[str, ...] = ()  # empty: any; otherwise a token must name one of them


class TokenVerifier:
    """Verifies tokens with the trusted keys, and caches valid tokens until they expire."""

    def __init__(
        self, trusted: Iterable[Trust], *, leeway: float = 10.0, user_claim: str = "sub", remembered: int = 10_000
    ) -> None:
        """Verify with the sources in `trusted`.

        `leeway` is the allowed difference between the issuer's clock and this machine's, in seconds. `user_claim` is
        the claim with the user's id. `remembered` is the maximum number of cached tokens; 0 turns the cache off.
        """
        self._trusted = {algorithm: trust for trust in trusted for algorithm in trust.source.algorithms}
        self._leeway = leeway
        self._user_claim = user_claim
        self._maximum = remembered
        self._verified: dict[bytes, Identity] = {}

    async def verify(self, token: str) -> Identity:
        """Return the identity in `token`.

        Raises InvalidTokenError for every invalid token, UnavailableError if no keys have been fetched yet, and
        KeyUnknownError if the issuer may have published the key of the token but cannot be asked yet.
        """
        identity = self.recall(token)
        if identity is None:
            identity = await self._verify(token)
            self._remember(token, identity)
        return identity

    def recall(self, token: str) -> Identity | None:
        """Return the identity of a cached token that has not expired; None for any other token."""
        digest = _digest(token)
        identity = self._verified.get(digest)
        if identity is not None and identity.expires_at + self._leeway <= time.time():
            del self._verified[digest]
            return None
        return identity

    @property
    def remembered(self) -> int:
        """The number of cached tokens."""
        return len(self._verified)

    def forget(self) -> None:
        """Clear the cache, so that every token is verified again. Call it after the keys have changed."""
        self._verified.clear()

    def _remember(self, token: str, identity: Identity) -> None:
        if self._maximum:
            if len(self._verified) >= self._maximum:
                del self._verified[next(iter(self._verified))]  # the oldest
            self._verified[_digest(token)] = identity

    async def _verify(self, token: str) -> Identity:
        algorithm, key_id = read_header(token)
        trust = self._trusted.get(algorithm)
        if trust is None:
            raise InvalidTokenError("algorithm not accepted")
        keys = trust.source.known(algorithm, key_id)
        if not keys:
            # Only a token whose claims are valid may cause a request to the issuer, or wait for one.
            self._decode(token, None, algorithm, trust)
            keys = await trust.source.find(algorithm, key_id)
        for key in keys:
            with contextlib.suppress(jwt.InvalidSignatureError):
                return self._decode(token, key, algorithm, trust)
        if key_id is None:  # the issuer may have rotated the only key of this algorithm
            self._decode(token, None, algorithm, trust)
            for key in await trust.source.successors(algorithm):
                with contextlib.suppress(jwt.InvalidSignatureError):
                    return self._decode(token, key, algorithm, trust)
        raise InvalidTokenError("InvalidSignatureError")

    def _decode(self, token: str, key: VerificationKey | None, algorithm: str, trust: Trust) -> Identity:
        """Verify `token` with `key`. Without a key, verify everything except the signature.

        Raises jwt.InvalidSignatureError if the token may be valid with another key, otherwise InvalidTokenError.
        """
        try:
            claims = jwt.decode(
                token,
                key or "",
                algorithms=NAMES.get(algorithm, [algorithm]),
                leeway=self._leeway,
                issuer=trust.issuers or None,
                audience=trust.audiences or None,
                options={
                    "verify_signature": key is not None,
                    "verify_exp": True,
                    "verify_nbf": True,
                    "verify_iat": True,
                    "verify_iss": bool(trust.issuers),
                    "require": ["exp", self._user_claim, *(["iss"] if trust.issuers else [])],
                    "verify_aud": bool(trust.audiences),
                    "verify_sub": False,  # `read_claims` checks the claim with the user's id more strictly
                    "verify_jti": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.InvalidSignatureError:
            raise
        except jwt.InvalidIssuerError:
            difference = _difference(token, "iss", trust.issuers, is_signed=key is not None)
            raise InvalidTokenError(f"InvalidIssuerError: {difference}") from None
        except jwt.InvalidAudienceError:
            difference = _difference(token, "aud", trust.audiences, is_signed=key is not None)
            raise InvalidTokenError(f"InvalidAudienceError: {difference}") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # PyJWT's own messages may quote the token, so the log gets the name of the class only.
            raise InvalidTokenError(type(error).__name__) from None
        return read_claims(claims, self._user_claim)


def _difference(token: str, claim: str, configured: tuple[str, ...], *, is_signed: bool) -> str:
    """Return how a claim differs from the expected values: by a trailing slash only, or what both are.

    The text contains the claim only if the token's signature is valid. Otherwise any client could write into the log.
    """
    sent = jwt.decode(token, options={"verify_signature": False}).get(claim)
    values = sent if isinstance(sent, list) else [sent]
    without = {value.rstrip("/") for value in configured}
    if any(isinstance(value, str) and value.rstrip("/") in without for value in values):
        setting = "JWT_ISSUER" if claim == "iss" else "JWT_AUDIENCE"
        return f"it differs only by a trailing slash; set {setting} exactly as in the token"
    expected = f"expected {' or '.join(map(ascii, configured))}"
    return f"{expected}, and the token has {ascii(sent)[:MAXIMUM_SHOWN]}" if is_signed else expected


def read_header(token: str) -> tuple[str, str | None]:
    """Return the algorithm and the key id in a token's header. Replace an alias of an algorithm by its usual name.

    Raises InvalidTokenError if the token is not a plain JWS.
    """
    if len(token) > MAXIMUM_TOKEN_LENGTH:
        raise InvalidTokenError(f"{len(token)} characters long; the maximum is {MAXIMUM_TOKEN_LENGTH}", TOO_LONG)
    if not COMPACT.fullmatch(token):
        raise InvalidTokenError(NO_JWT)
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise InvalidTokenError(f"header unreadable: {type(error).__name__}") from None
    if not FORBIDDEN_HEADERS.isdisjoint(header):
        raise InvalidTokenError("header parameter not accepted")
    if str(header.get("typ", "JWT")).lower() not in ACCESS_TOKEN_TYPES:
        raise InvalidTokenError("not an access token: another type in the header typ")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise InvalidTokenError("algorithm missing")
    if key_id is not None and not (
        isinstance(key_id, str) and len(key_id) <= MAXIMUM_KEY_ID_LENGTH and _printable(key_id)
    ):
        raise InvalidTokenError("key id invalid")
    return ALGORITHM_ALIASES.get(algorithm, algorithm), key_id


def read_claims(claims: Mapping[str, Any], user_claim: str = "sub") -> Identity:
    """Return the identity in verified `claims`.

    Raises InvalidTokenError for values that PyJWT accepts and this service does not.
    """
    for name in ("exp", "nbf", "iat"):
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], (int, float))):
            raise InvalidTokenError(f"claim {name} is not a number")
        if abs(claims.get(name, 0)) > LATEST_MOMENT:
            raise InvalidTokenError(f"claim {name} is after the year 9999")
    subject = claims[user_claim]
    if not isinstance(subject, str) or not 1 <= len(subject) <= MAXIMUM_SUBJECT_LENGTH:
        raise InvalidTokenError(f"claim {user_claim} is not a text of 1 to 255 characters")
    if not subject.strip() or not _printable(subject):
        raise InvalidTokenError(f"claim {user_claim} is blank or contains control characters")
    if subject == RESERVED_SUBJECT:
        raise InvalidTokenError(f"claim {user_claim} is the reserved word 'me'")
    return Identity(
        subject,
        _profile(claims.get("email"), MAXIMUM_EMAIL_LENGTH),
        _profile(claims.get("name"), MAXIMUM_SUBJECT_LENGTH),
        float(claims["exp"]),
    )


def _digest(token: str) -> bytes:
    """Return the cache key of a token. It is a hash, so that the cache contains no tokens."""
    return blake2b(token.encode(), digest_size=16).digest()


def _printable(text: str) -> bool:
    """Return whether `text` is free of control characters and surrogates. Paths and PostgreSQL cannot contain them."""
    return not any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


def _profile(value: object, longest: int) -> str | None:
    """Return a name or e-mail address for the user's row, or None if it cannot be stored. The token stays valid."""
    return value if isinstance(value, str) and 1 <= len(value) <= longest and _printable(value) else None
