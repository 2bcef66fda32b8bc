"""A token becomes an identity, or an error whose reason only the log gets to see (RFC 7519, RFC 8725)."""

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
with contextlib.suppress(ValueError):  # it may learn the name one day
    jwt.register_algorithm("Ed25519", OKPAlgorithm())

# JWS compact serialisation: three parts of base64url without padding (RFC 7515 section 7.1).
COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
# What clients of Better Auth send by mistake, and what helps them.
NO_JWT = "not a JWT; a session token or cookie may have been sent, the JWT comes from GET /api/auth/token"
MAXIMUM_TOKEN_LENGTH = 7_000
TOO_LONG = (
    f"The access token is longer than {MAXIMUM_TOKEN_LENGTH:,} characters; remove large claims from it, such as the "
    "user's image (in Better Auth: definePayload of the jwt plugin)."
)
# PyJWT takes a list of names for `alg`; those of one entry here mean the same.
NAMES = {meant: [meant, name] for name, meant in ALGORITHM_ALIASES.items()}
# Headers that would let the token choose its own key, or change what the signature covers (RFC 8725 section 3.10).
FORBIDDEN_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc"})
# Better Auth's session cookie may be a JWT too, signed with a published key and with the user as its subject; only
# its type, `better-auth.session-cache+jwt`, tells it apart (RFC 8725 section 3.11; `at+jwt` is RFC 9068's).
ACCESS_TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
MAXIMUM_KEY_ID_LENGTH = 256
MAXIMUM_SUBJECT_LENGTH = 255
MAXIMUM_EMAIL_LENGTH = 320  # RFC 5321 section 4.5.3.1: 64 before the @, 255 behind it
LATEST_MOMENT = 253_402_300_799  # the last second of the year 9999
RESERVED_SUBJECT = "me"  # stands for the caller in paths


class Identity(NamedTuple):
    """Who a verified token speaks for, and until when (seconds since the epoch)."""

    user_id: str
    email: str | None
    name: str | None
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A source of keys, and whose tokens signed with them are meant for us."""

    source: KeySource
    issuers: tuple[str, ...] = ()  # empty: any
    audiences: tuple[str, ...] = ()  # empty: any; else one of a token's must be among them


class TokenVerifier:
    """Verifies tokens against everything that is trusted, and remembers those that passed until they expire."""

    def __init__(
        self, trusted: Iterable[Trust], *, leeway: float = 10.0, user_claim: str = "sub", remembered: int = 10_000
    ) -> None:
        """Trust `trusted`; `leeway` is how many seconds the issuer's clock and ours may differ.

        `remembered` bounds the cache of verified tokens; 0 is none.
        """
        self._trusted = {algorithm: trust for trust in trusted for algorithm in trust.source.algorithms}
        self._leeway = leeway
        self._user_claim = user_claim
        self._maximum = remembered
        self._verified: dict[bytes, Identity] = {}

    async def verify(self, token: str) -> Identity:
        """The identity that `token` proves.

        Raises InvalidTokenError for every token that is not wholly in order, UnavailableError when the keys to
        judge it by are not there yet.
        """
        identity = self.recall(token)
        if identity is None:
            identity = await self._verify(token)
            self._remember(token, identity)
        return identity

    def recall(self, token: str) -> Identity | None:
        """The identity of a token that was verified before and has not expired; None for any other."""
        digest = _digest(token)
        identity = self._verified.get(digest)
        if identity is not None and identity.expires_at + self._leeway <= time.time():
            del self._verified[digest]
            return None
        return identity

    @property
    def remembered(self) -> int:
        """How many verified tokens are remembered."""
        return len(self._verified)

    def forget(self) -> None:
        """Verify every token anew: the keys have changed."""
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
            # Only a token that is in order in all else may make us ask the issuer, or wait for it.
            self._decode(token, None, algorithm, trust)
            keys = await trust.source.find(algorithm, key_id)
        for key in keys:
            with contextlib.suppress(jwt.InvalidSignatureError):
                return self._decode(token, key, algorithm, trust)
        if key_id is None:  # the one key of its algorithm may have been rotated
            self._decode(token, None, algorithm, trust)
            for key in await trust.source.successors(algorithm):
                with contextlib.suppress(jwt.InvalidSignatureError):
                    return self._decode(token, key, algorithm, trust)
        raise InvalidTokenError("InvalidSignatureError")

    def _decode(self, token: str, key: VerificationKey | None, algorithm: str, trust: Trust) -> Identity:
        """Verify `token` with `key`; without a key check all but its signature.

        Raises jwt.InvalidSignatureError if another key may fit, InvalidTokenError if none can.
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
                    "verify_sub": False,  # the user's claim is checked below, more strictly, whatever its name
                    "verify_jti": False,
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.InvalidSignatureError:
            raise
        except jwt.InvalidIssuerError:
            raise InvalidTokenError(f"InvalidIssuerError{_slash_apart(token, 'iss', trust.issuers)}") from None
        except jwt.InvalidAudienceError:
            raise InvalidTokenError(f"InvalidAudienceError{_slash_apart(token, 'aud', trust.audiences)}") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            # PyJWT's own messages may quote the token; the class says enough.
            raise InvalidTokenError(type(error).__name__) from None
        return read_claims(claims, self._user_claim)


def _slash_apart(token: str, claim: str, configured: tuple[str, ...]) -> str:
    """Say that a claim differs from the setting by a slash at its end alone, if so; the claim itself is not shown."""
    sent = jwt.decode(token, options={"verify_signature": False}).get(claim)
    values = sent if isinstance(sent, list) else [sent]
    without = {value.rstrip("/") for value in configured}
    if not any(isinstance(value, str) and value.rstrip("/") in without for value in values):
        return ""
    setting = "JWT_ISSUER" if claim == "iss" else "JWT_AUDIENCE"
    return f": it differs by a slash at its end alone; set {setting} as the token has it"


def read_header(token: str) -> tuple[str, str | None]:
    """Give the algorithm, by its first name, and the key id that a token asks for.

    Raises InvalidTokenError for anything but a plain JWS.
    """
    if len(token) > MAXIMUM_TOKEN_LENGTH:
        raise InvalidTokenError(f"{len(token)} characters long; at most {MAXIMUM_TOKEN_LENGTH} are read", TOO_LONG)
    if not COMPACT.fullmatch(token):
        raise InvalidTokenError(NO_JWT)
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise InvalidTokenError(f"header unreadable: {type(error).__name__}") from None
    if not FORBIDDEN_HEADERS.isdisjoint(header):
        raise InvalidTokenError("header parameter not accepted")
    if str(header.get("typ", "JWT")).lower() not in ACCESS_TOKEN_TYPES:
        raise InvalidTokenError("not an access token: its type is another one")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise InvalidTokenError("algorithm missing")
    if key_id is not None and not (
        isinstance(key_id, str) and len(key_id) <= MAXIMUM_KEY_ID_LENGTH and _printable(key_id)
    ):
        raise InvalidTokenError("key id not usable")
    return ALGORITHM_ALIASES.get(algorithm, algorithm), key_id


def read_claims(claims: Mapping[str, Any], user_claim: str = "sub") -> Identity:
    """The identity in verified `claims`. Raises InvalidTokenError for what PyJWT lets pass and we do not."""
    for name in ("exp", "nbf", "iat"):
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], (int, float))):
            raise InvalidTokenError(f"claim {name} is not a number")
        if abs(claims.get(name, 0)) > LATEST_MOMENT:
            raise InvalidTokenError(f"claim {name} is beyond the calendar")
    subject = claims[user_claim]
    if not isinstance(subject, str) or not 1 <= len(subject) <= MAXIMUM_SUBJECT_LENGTH:
        raise InvalidTokenError(f"claim {user_claim} is not a text of 1 to 255 characters")
    if not subject.strip() or not _printable(subject):
        raise InvalidTokenError(f"claim {user_claim} is blank or holds control characters")
    if subject == RESERVED_SUBJECT:
        raise InvalidTokenError(f"claim {user_claim} is the reserved word 'me'")
    return Identity(
        subject,
        _profile(claims.get("email"), MAXIMUM_EMAIL_LENGTH),
        _profile(claims.get("name"), MAXIMUM_SUBJECT_LENGTH),
        float(claims["exp"]),
    )


def _digest(token: str) -> bytes:
    """What the cache knows a token by: whoever reads its memory finds no token."""
    return blake2b(token.encode(), digest_size=16).digest()


def _printable(text: str) -> bool:
    """Whether `text` has neither control characters nor surrogates, which neither paths nor PostgreSQL can carry."""
    return not any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


def _profile(value: object, longest: int) -> str | None:
    """A name or e-mail for the user's row; what cannot be kept is left out, since identity does not hang on it."""
    return value if isinstance(value, str) and 1 <= len(value) <= longest and _printable(value) else None
