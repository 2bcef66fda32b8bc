"""Accepted and refused tokens. A refusal has a constant text and sends no statement to the database.

The table follows RFC 8725 (best practices for JWTs) and RFC 6750 (bearer tokens).
"""

from __future__ import annotations

import base64
import contextlib
import json
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.auth import PublishedKeys, TokenVerifier, token_verifier
from service.config import Settings
from service.config.parsing import PUBLISHED_ALGORITHMS
from service.errors import InvalidTokenError
from tests.conftest import SECRET, token

LEEWAY = 10
DETAIL = "The access token is invalid or has expired; get a new one and try again."


def part(content: object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hs256(claims: dict, header: dict | None = None, secret: str | bytes = SECRET) -> str:
    """Sign by hand a token that PyJWT would refuse to sign."""
    head = part({"alg": "HS256", "typ": "JWT", **(header or {})})
    body = f"{head}.{part(claims)}"
    signature = jwt.get_algorithm_by_name("HS256").sign(
        body.encode(), secret if isinstance(secret, bytes) else secret.encode()
    )
    return f"{body}.{part(signature)}"


def good(**claims: object) -> dict:
    found = {"sub": "alice", "exp": int(time.time()) + 86_400, **claims}  # longer than any run of the suite
    return {name: value for name, value in found.items() if value is not ...}


def public(issuer, key_id: str, encoding: Encoding, form: PublicFormat) -> bytes:
    return issuer.keys[key_id][1].public_key().public_bytes(encoding, form)


ALICE = hs256(good())
HEAD, BODY, SIGNATURE = ALICE.split(".")

INVALID = {
    # The algorithm (RFC 8725 sections 2.1, 3.1 and 3.2)
    "alg none": lambda _: f"{part({'alg': 'none'})}.{part(good())}.",
    "alg None": lambda _: f"{part({'alg': 'None'})}.{part(good())}.",
    "alg nOnE, signed": lambda _: hs256(good(), {"alg": "nOnE"}),
    "alg NONE without the last dot": lambda _: f"{part({'alg': 'NONE'})}.{part(good())}",
    "alg missing": lambda _: f"{part({'typ': 'JWT'})}.{BODY}.{SIGNATURE}",
    "alg a list": lambda _: hs256(good(), {"alg": ["HS256"]}),
    "alg a number": lambda _: hs256(good(), {"alg": 256}),
    "alg null": lambda _: hs256(good(), {"alg": None}),
    "alg an object": lambda _: hs256(good(), {"alg": {"name": "HS256"}}),
    "alg in lower case": lambda _: hs256(good(), {"alg": "hs256"}),
    "alg HS384, not allowed": lambda _: jwt.encode(good(), SECRET * 2, "HS384"),
    "alg HS512, not allowed": lambda _: jwt.encode(good(), SECRET * 2, "HS512"),
    "alg of another family: key-set key id, HS256 by the secret of that key in PEM": lambda issuer: hs256(
        good(), {"kid": "RS256"}, public(issuer, "RS256", Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ),
    "the same in DER": lambda issuer: hs256(
        good(), {"kid": "RS256"}, public(issuer, "RS256", Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ),
    "the same in PKCS1": lambda issuer: hs256(
        good(), {"kid": "RS256"}, public(issuer, "RS256", Encoding.PEM, PublicFormat.PKCS1)
    ),
    "the same raw": lambda issuer: hs256(
        good(), {"kid": "EdDSA"}, public(issuer, "EdDSA", Encoding.Raw, PublicFormat.Raw)
    ),
    "the same as a JWK": lambda issuer: hs256(good(), {"kid": "EdDSA"}, json.dumps(issuer.jwk("EdDSA")).encode()),
    "an EdDSA key's id under ES256": lambda issuer: jwt.encode(
        good(iss=issuer.origin, aud=issuer.origin), issuer.keys["ES256"][1], "ES256", {"kid": "EdDSA"}
    ),
    "an RS256 key used for PS256": lambda issuer: jwt.encode(
        good(iss=issuer.origin, aud=issuer.origin), issuer.keys["RS256"][1], "PS256", {"kid": "RS256"}
    ),
    "an RS256 key used for RS512": lambda issuer: jwt.encode(
        good(iss=issuer.origin, aud=issuer.origin), issuer.keys["RS256"][1], "RS512", {"kid": "RS256"}
    ),
    # Headers that would choose the key (RFC 8725 section 3.10)
    "embedded jwk": lambda issuer: issuer.sign("EdDSA", headers={"jwk": issuer.jwk("EdDSA")}),
    "jku": lambda issuer: issuer.sign("EdDSA", headers={"jku": f"{issuer.origin}/evil"}),
    "x5u": lambda issuer: issuer.sign("EdDSA", headers={"x5u": f"{issuer.origin}/evil"}),
    "x5c": lambda issuer: issuer.sign("EdDSA", headers={"x5c": ["MIIB"]}),
    "jku with HS256": lambda issuer: hs256(good(), {"jku": f"{issuer.origin}/evil"}),
    "crit unknown": lambda _: hs256(good(), {"crit": ["exp"], "exp": 1}),
    "crit empty": lambda _: hs256(good(), {"crit": []}),
    "b64 false": lambda _: hs256(good(), {"b64": False, "crit": ["b64"]}),
    "b64 false without crit": lambda _: hs256(good(), {"b64": False}),
    "zip": lambda _: hs256(good(), {"zip": "DEF"}),
    # The key id
    "kid unknown": lambda issuer: issuer.sign("EdDSA", headers={"kid": "nobody"}),
    "kid empty": lambda issuer: issuer.sign("EdDSA", headers={"kid": ""}),
    "kid huge": lambda issuer: issuer.sign("EdDSA", headers={"kid": "k" * 3_000}),
    "kid a number": lambda _: hs256(good(), {"kid": 1}),
    "kid a list": lambda _: hs256(good(), {"kid": ["EdDSA"]}),
    "kid a path": lambda issuer: issuer.sign("EdDSA", headers={"kid": "../../etc/passwd"}),
    "kid SQL": lambda issuer: issuer.sign("EdDSA", headers={"kid": "' OR 1=1 --"}),
    "kid with NUL": lambda issuer: issuer.sign("EdDSA", headers={"kid": "EdDSA\0"}),
    "kid a surrogate": lambda _: hs256(good(), {"kid": "\ud800"}),
    # The type (RFC 8725 section 3.11)
    "typ of a Better Auth session cookie, signed with a published key": lambda issuer: issuer.sign(
        "EdDSA", headers={"typ": "better-auth.session-cache+jwt"}
    ),
    "typ of a logout token": lambda issuer: issuer.sign("EdDSA", headers={"typ": "logout+jwt"}),
    "typ a list": lambda _: hs256(good(), {"typ": ["JWT"]}),
    # Time
    "expired long ago": lambda _: hs256(good(exp=1_000_000_000)),
    "expired a second beyond the leeway": lambda _: hs256(good(exp=int(time.time()) - LEEWAY - 1)),
    "exp missing": lambda _: hs256(good(exp=...)),
    "exp null": lambda _: hs256(good(exp=None)),
    "exp a text": lambda _: hs256(good(exp=str(int(time.time()) + 600))),
    "exp true": lambda _: hs256(good(exp=True)),
    "exp a list": lambda _: hs256(good(exp=[int(time.time()) + 600])),
    "exp an object": lambda _: hs256(good(exp={})),
    "exp negative": lambda _: hs256(good(exp=-1)),
    "exp beyond the calendar": lambda _: hs256(good(exp=10**15)),
    "exp beyond every float": lambda _: hs256(good(exp=10**400)),
    "exp 1e400": lambda _: _signed(b'{"sub":"alice","exp":1e400}'),
    "exp Infinity, signed": lambda _: hs256(good(exp=float("inf"))),
    "exp NaN, signed": lambda _: hs256(good(exp=float("nan"))),
    "nbf in the future": lambda _: hs256(good(nbf=int(time.time()) + LEEWAY + 5)),
    "nbf a text": lambda _: hs256(good(nbf="0")),
    "nbf true": lambda _: hs256(good(nbf=True)),
    "nbf 1e400": lambda _: hs256(good(nbf=float("inf"))),
    "iat in the future": lambda _: hs256(good(iat=int(time.time()) + LEEWAY + 5)),
    "iat a text": lambda _: hs256(good(iat="0")),
    "iat a list": lambda _: hs256(good(iat=[])),
    # Issuer and audience, which key-set tokens must name here
    "iss missing": lambda issuer: issuer.sign("EdDSA", iss=...),
    "iss wrong": lambda issuer: issuer.sign("EdDSA", iss="https://evil.example.com"),
    "iss a list": lambda issuer: _raw(issuer, iss=[issuer.origin]),
    "iss with a slash more": lambda issuer: issuer.sign("EdDSA", iss=issuer.origin + "/"),
    "aud missing": lambda issuer: issuer.sign("EdDSA", aud=...),
    "aud wrong": lambda issuer: issuer.sign("EdDSA", aud="https://evil.example.com"),
    "aud empty": lambda issuer: issuer.sign("EdDSA", aud=[]),
    "aud a number": lambda issuer: issuer.sign("EdDSA", aud=5),
    "aud a list without ours": lambda issuer: issuer.sign("EdDSA", aud=["https://a.example.com", "b"]),
    "aud a list of numbers": lambda issuer: issuer.sign("EdDSA", aud=[5]),
    # The subject
    "sub missing": lambda _: hs256(good(sub=...)),
    "sub null": lambda _: hs256(good(sub=None)),
    "sub a number": lambda _: hs256(good(sub=5)),
    "sub a list": lambda _: hs256(good(sub=["alice"])),
    "sub true": lambda _: hs256(good(sub=True)),
    "sub empty": lambda _: hs256(good(sub="")),
    "sub blank": lambda _: hs256(good(sub="  \t ")),
    "sub over 255": lambda _: hs256(good(sub="a" * 256)),
    "sub with NUL": lambda _: hs256(good(sub="alice\0")),
    "sub with a line break": lambda _: hs256(good(sub="alice\nbob")),
    "sub with DEL": lambda _: hs256(good(sub="alice\x7f")),
    "sub with a C1 control": lambda _: hs256(good(sub="alice\x85")),
    "sub with a lone surrogate": lambda _: hs256(good(sub="alice\ud800")),
    "sub the word me": lambda _: hs256(good(sub="me")),
    # The form
    "no JWT at all": lambda _: "abcdef",
    "one part": lambda _: HEAD,
    "two parts": lambda _: f"{HEAD}.{BODY}",
    "four parts": lambda _: f"{ALICE}.{SIGNATURE}",
    "five parts, encrypted": lambda _: ".".join([part({"alg": "dir", "enc": "A256GCM"}), "", "AAAA", "AAAA", "AAAA"]),
    "only dots": lambda _: "..",
    "signature missing": lambda _: f"{HEAD}.{BODY}.",
    "signature cut": lambda _: ALICE[:-4],
    "signature's last character flipped": lambda _: ALICE[:-2] + ("A" if ALICE[-2] != "A" else "B") + ALICE[-1],
    "trailing bytes": lambda _: ALICE + "AAAA",
    "padding": lambda _: ALICE + "=",
    "signed with another secret": lambda _: hs256(good(), secret="another secret, of more than 32 bytes too"),
    "signed with an empty secret": lambda _: hs256(good(), secret=b""),
    "payload of another": lambda _: f"{HEAD}.{part(good(sub='bob'))}.{SIGNATURE}",
    "header not JSON": lambda _: f"{part(b'{')}.{BODY}.{SIGNATURE}",
    "header a list": lambda _: f"{part([])}.{BODY}.{SIGNATURE}",
    "header not UTF-8": lambda _: ".".join([part(bytes([255, 254])), BODY, SIGNATURE]),
    "header nested": lambda _: f"{part(b'[' * 2_500)}.{BODY}.{SIGNATURE}",
    "payload nested, signed": lambda _: _signed(b'{"a":' * 700 + b"1" + b"}" * 700),
    "payload a list, signed": lambda _: _signed(b"[]"),
    "payload a text, signed": lambda _: _signed(b'"alice"'),
    "payload not JSON, signed": lambda _: _signed(b"{"),
    "payload not UTF-8, signed": lambda _: _signed(b'{"sub":"\xff"}'),
    "payload empty, signed": lambda _: _signed(b""),
    "payload with duplicate exp, the last one past": lambda _: _signed(b'{"sub":"alice","exp":99999999999,"exp":1}'),
    "non-ASCII": lambda _: "é" * 20,
    "raw high bytes": lambda _: b"\xff\xfe\xfd",
    # Other values that are signed with the same secret, or that look like a token (Better Auth)
    "e-mail verification": lambda _: hs256(good(sub=..., email="alice@example.com"), {"typ": None}),
    "session cookie": lambda _: hs256(good(sub=..., session={"userId": "alice"}, user={"id": "alice"})),
    "session token": lambda _: "kJ8sX0aYbQ2wE5rT9uI1oP4zL7cV6nM3",
    "signed session cookie": lambda _: "kJ8sX0aYbQ2wE5rT9uI1oP4zL7cV6nM3.h6xkz0c2V5Yk5l0Jx8A8m3m1V7u3b1S9cVQm2bq4R1A",
}  # fmt: skip


# One of each family goes the whole way: through the parser of the header, the verifier and the problem's renderer.
THROUGH_HTTP = [
    "alg none", "the same in DER", "embedded jwk", "kid unknown", "kid a surrogate", "typ of a logout token",
    "expired long ago", "iss missing", "aud wrong", "sub with NUL", "sub with a lone surrogate", "sub the word me",
    "no JWT at all", "only dots", "padding", "signature cut", "header nested", "payload not UTF-8, signed",
    "session cookie", "non-ASCII", "raw high bytes",
]  # fmt: skip


def _signed(payload: bytes) -> str:
    body = f"{HEAD}.{part(payload)}"
    return f"{body}.{part(jwt.get_algorithm_by_name('HS256').sign(body.encode(), SECRET.encode()))}"


def _raw(issuer, **claims: object) -> str:
    """Sign with a published key a token whose claims PyJWT would not encode."""
    head = part({"alg": "EdDSA", "kid": "EdDSA"})
    body = f"{head}.{part(good(**{'iss': issuer.origin, 'aud': issuer.origin, **claims}))}"
    return f"{body}.{part(issuer.keys['EdDSA'][1].sign(body.encode()))}"


def bearer(sent: str | bytes) -> list[tuple[bytes, bytes]]:
    raw = sent if isinstance(sent, bytes) else sent.encode()
    return [(b"Authorization", b"Bearer " + raw)]


@pytest.fixture(scope="module")
def verifier(issuer) -> TokenVerifier:
    """The verifier of a service that trusts a secret and the issuer's keys. It may fetch new keys at any time."""
    found = Settings.from_environ({"BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": issuer.origin})
    keys = PublishedKeys(found.key_set_url, algorithms=frozenset(PUBLISHED_ALGORITHMS), cooldown=0.0)
    return token_verifier(found, keys)


async def test_a_bad_token_is_refused_by_the_verifier(verifier, issuer, subtests):
    for kind in [kind for kind in INVALID if kind != "raw high bytes"]:
        with subtests.test(kind=kind), pytest.raises(InvalidTokenError):
            await verifier.verify(INVALID[kind](issuer))


async def test_a_bad_token_is_401_with_a_constant_text_and_sends_no_statement(
    http, issuer, statements, refusal, subtests
):
    for kind in THROUGH_HTTP:
        with subtests.test(kind=kind):
            sent = INVALID[kind](issuer)
            with statements() as seen:
                response = await http.get("/api/alice/tasks", headers=bearer(sent))
            body = refusal(response, 401, "invalid_token")
            assert body["detail"] == DETAIL
            assert seen == []


@pytest.mark.parametrize("characters", [7_001, 7_400])
async def test_a_token_that_is_too_long_gets_an_error_that_says_so(http, statements, refusal, characters):
    sent = hs256(good(image="n" * 5_400))
    sent += "A" * (characters - len(sent)) if len(sent) < characters else ""
    with statements() as seen:
        response = await http.get("/api/alice/tasks", headers=bearer(sent))
    assert "longer than 7,000 characters; remove large claims" in refusal(response, 401, "invalid_token")["detail"]
    assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert seen == []


async def test_a_token_that_exceeds_the_header_limit_is_413_with_the_limit(http):
    response = await http.get("/api/alice/tasks", headers=bearer(hs256(good(image="n" * 6_600))))
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert "7,000 characters for an access token" in response.json()["detail"]


async def test_a_request_without_a_bearer_token_is_401(http, statements, refusal, subtests):
    for header in [None, "", "Bearer", "Basic YWxpY2U6cHc=", "Digest x", f"Token {ALICE}", ALICE]:
        with subtests.test(header=header):
            with statements() as seen:
                response = await http.get(
                    "/api/alice/tasks", headers={} if header is None else {"Authorization": header}
                )
            refusal(response, 401, "authentication_required")
            assert seen == []


@pytest.mark.parametrize("place", ["query", "body", "cookie"])
async def test_a_token_outside_of_the_authorization_header_is_ignored(http, refusal, place):
    request = {
        "query": {"params": {"access_token": ALICE}},
        "body": {"data": {"access_token": ALICE}},
        "cookie": {"headers": {"Cookie": f"access_token={ALICE}; Authorization=Bearer {ALICE}"}},
    }[place]
    refusal(await http.request("POST", "/api/alice/tasks", **request), 401, "authentication_required")


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", f"Bearer {ALICE}"), ("Authorization", f"Bearer {ALICE}")],
        [("Authorization", f"Bearer {ALICE}"), ("Authorization", "Basic YTpi")],
        [("Authorization", f"Bearer {ALICE} {ALICE}")],
        [("Authorization", f"Bearer {ALICE}, Bearer {ALICE}")],
        [("Authorization", f"Bearer {ALICE},{ALICE}")],
        [("Authorization", f"Bearer Bearer {ALICE}")],
    ],
    ids=["two headers", "two schemes", "two tokens", "a list", "a list without a space", "the scheme twice"],
)
async def test_more_than_one_token_is_400(http, statements, refusal, headers):
    with statements() as seen:
        response = await http.get("/api/alice/tasks", headers=headers)
    refusal(response, 400, "invalid_request")
    assert seen == []


VALID = {
    "HS256": lambda _: ALICE,
    "HS256 with a key id": lambda _: hs256(good(), {"kid": "any"}),
    "HS256 with an audience and an issuer": lambda _: hs256(good(aud="anybody", iss="anybody")),
    "aud a list, none configured": lambda _: hs256(good(aud=["a", "b"])),
    "no typ": lambda _: f"{part({'alg': 'HS256'})}.{BODY}." + part(
        jwt.get_algorithm_by_name("HS256").sign(f"{part({'alg': 'HS256'})}.{BODY}".encode(), SECRET.encode())
    ),
    "typ at+jwt": lambda _: hs256(good(), {"typ": "at+jwt"}),
    "typ jwt in lower case": lambda _: hs256(good(), {"typ": "jwt"}),
    "seconds before the leeway ends": lambda _: hs256(good(exp=int(time.time()) - LEEWAY + 5)),
    "exp with a fraction": lambda _: hs256(good(exp=time.time() + 60.5)),
    "nbf within the leeway": lambda _: hs256(good(nbf=int(time.time()) + LEEWAY - 2)),
    "iat within the leeway": lambda _: hs256(good(iat=int(time.time()) + LEEWAY - 2)),
    "EdDSA": lambda issuer: issuer.sign("EdDSA"),
    "ES256": lambda issuer: issuer.sign("ES256"),
    "ES384": lambda issuer: issuer.sign("ES384"),
    "ES512": lambda issuer: issuer.sign("ES512"),
    "no kid, one key of its algorithm": lambda issuer: issuer.sign("ES384", headers={"kid": None}),
    "RS256": lambda issuer: issuer.sign("RS256"),
    "PS256": lambda issuer: issuer.sign("PS256"),
    "aud a list that holds ours": lambda issuer: issuer.sign("EdDSA", aud=["https://b.example.com", issuer.origin]),
    "a hostile name": lambda _: hs256(good(name="\ud800\0" * 50, email=["x"])),
}  # fmt: skip


async def test_a_valid_token_names_its_user(verifier, issuer, subtests):
    for kind, make in VALID.items():
        with subtests.test(kind=kind):
            assert (await verifier.verify(make(issuer))).user_id == "alice"


@pytest.mark.parametrize("kind", ["HS256", "EdDSA", "a hostile name"])
async def test_a_valid_token_is_accepted(http, empty, issuer, kind):
    response = await http.post("/api/alice/tasks", json={"title": "A task"}, headers=bearer(VALID[kind](issuer)))
    assert response.status_code == 201, response.text
    assert response.json()["user_id"] == "alice"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])
async def test_the_scheme_is_read_in_any_case(http, scheme):
    response = await http.get("/api/alice/tasks", headers={"Authorization": f"{scheme} {ALICE}"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "user_id", ["auth0|123", "a@b.example", "ünï", "a/b", "%2F", "a..b", "a b", "a" * 255, "🦊", "ME"]
)
async def test_any_subject_an_issuer_may_choose_reaches_its_own_tasks(http, empty, user_id):
    headers = bearer(token(user_id))
    path = httpx.URL(f"{http.base_url}").copy_with(raw_path=b"/api/" + _quoted(user_id) + b"/tasks")
    created = await http.post(path, json={"title": "Mine"}, headers=headers)
    assert created.status_code == 201, created.text
    assert created.json()["user_id"] == user_id
    found = await http.get(created.headers["location"], headers=headers)
    assert found.status_code == 200
    assert found.json() == created.json()


def _quoted(user_id: str) -> bytes:
    return "".join(f"%{byte:02X}" for byte in user_id.encode()).encode()


async def test_no_header_of_a_token_causes_an_outgoing_request(http, issuer):
    before = issuer.fetches
    for kind in ("embedded jwk", "jku", "x5u", "x5c", "jku with HS256"):
        await http.get("/api/alice/tasks", headers=bearer(INVALID[kind](issuer)))
    assert issuer.fetches == before


async def test_the_user_row_takes_name_and_email_from_the_claims_at_writes_only(http, empty, issuer, connection):
    first = bearer(issuer.sign("EdDSA", name="Alice", email="alice@example.com"))
    await http.post("/api/me/tasks", json={"title": "A task"}, headers=first)
    second = bearer(issuer.sign("EdDSA", name="Alice B.", email="a.b@example.com"))
    await http.get("/api/me/tasks", headers=second)
    asked = "SELECT name, email FROM users WHERE id = 'alice'"
    assert tuple(await connection.fetchrow(asked)) == ("Alice", "alice@example.com")
    await http.post("/api/me/tasks", json={"title": "Another"}, headers=second)
    assert tuple(await connection.fetchrow(asked)) == ("Alice B.", "a.b@example.com")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
MANY = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CONTROLS = {*range(32), 127} - {9}  # the client itself refuses to send them
CLAIMS = st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "iat", "iss", "aud", "jti", "name", "email"]), JSON)
HEADERS = st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "cty"]), JSON)


@MANY
@given(claims=CLAIMS, header=HEADERS)
async def test_a_signed_token_is_verified_or_refused_whatever_it_claims(verifier, claims, header):
    with contextlib.suppress(InvalidTokenError):
        identity = await verifier.verify(hs256({"sub": "alice", "exp": int(time.time()) + 600, **claims}, header))
        assert identity.user_id == claims.get("sub", "alice")


# The test before this one gives the same tokens to the verifier; this one is about the response to its errors.
@settings(MANY, max_examples=10)
@given(claims=CLAIMS, header=HEADERS)
async def test_no_signed_token_causes_a_500(http, claims, header):
    sent = hs256({"sub": "alice", "exp": int(time.time()) + 600, **claims}, header)
    response = await http.get(f"/api/alice/tasks/{2**62}", headers=bearer(sent))
    assert response.status_code in {401, 403, 404, 413}, response.text


@settings(MANY, max_examples=30)
@given(
    sent=st.binary(max_size=200).map(bytes.strip).filter(lambda raw: not set(raw) & CONTROLS)
    | st.text("abcXYZ019-_.=", max_size=200).map(str.encode)
)
async def test_no_authorization_header_causes_a_500(http, sent):
    response = await http.get("/api/alice/tasks/1", headers=[(b"Authorization", (b"Bearer " + sent).strip())])
    assert response.status_code in {400, 401}, response.text
