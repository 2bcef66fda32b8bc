"""The published keys of an issuer: fetched rarely, kept during an outage, and never trusted beyond their key type."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time

import jwt
import pytest

from service.auth.keys import KeySet, SharedSecret
from service.auth.published import MAXIMUM_WAITERS, PublishedKeys
from service.auth.tokens import TokenVerifier, Trust
from service.auth.trust import token_verifier
from service.config import Settings
from service.errors import InvalidTokenError, UnavailableError

ALL = frozenset({"EdDSA", "ES256", "ES384", "ES512", "RS256", "PS256"})


@pytest.fixture
async def published(make_issuer):
    """An issuer with one key, and the service's view of its keys; the cool-down is a quarter of a second."""
    issuer = make_issuer()
    issuer.add("first", "EdDSA")
    await issuer.start()
    keys = PublishedKeys(f"{issuer.origin}/jwks", algorithms=ALL, cooldown=0.25, max_stale=60)
    yield issuer, keys
    await keys.close()
    await issuer.stop()


async def test_a_known_key_needs_no_second_fetch(published):
    issuer, keys = published
    for _ in range(5):
        await keys.find("EdDSA", "first")
    assert issuer.fetches == 1


async def test_a_thousand_random_key_ids_cause_one_fetch_in_a_cool_down(published):
    issuer, keys = published
    keys._cooldown = 2.0  # long enough for a thousand on a slow machine
    await keys.fetch()
    asked = [keys.find("EdDSA", f"random-{number}") for number in range(1_000)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, InvalidTokenError) for answer in answers)
    assert issuer.fetches == 2
    started = time.monotonic()
    asked = [keys.find("EdDSA", f"random-{number}") for number in range(1_000)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert time.monotonic() - started > 0.1, "they waited for the end of the cool-down"
    assert issuer.fetches == 3
    assert sum(isinstance(answer, InvalidTokenError) for answer in answers) == MAXIMUM_WAITERS
    beyond = [answer for answer in answers if isinstance(answer, UnavailableError)]
    assert len(beyond) == 1_000 - MAXIMUM_WAITERS
    assert {answer.kind for answer in beyond} == {"keys"}
    assert {answer.retry_after for answer in beyond} <= {1, 2}


async def test_a_key_that_is_rotated_in_the_cool_down_is_found_at_its_end(published):
    issuer, keys = published
    await keys.fetch()
    with pytest.raises(InvalidTokenError):
        await keys.find("EdDSA", "random")
    issuer.add("second", "EdDSA")
    assert await asyncio.gather(*(keys.find("EdDSA", "second") for _ in range(20)))
    assert issuer.fetches == 3, "they share one fetch"


async def test_an_unknown_key_id_in_a_long_cool_down_gets_retry_after_instead_of_401(make_issuer):
    issuer = make_issuer()
    issuer.add("first", "EdDSA")
    await issuer.start()
    keys = PublishedKeys(f"{issuer.origin}/jwks", algorithms=ALL, cooldown=30)
    await keys.fetch()
    with pytest.raises(InvalidTokenError):
        await keys.find("EdDSA", "random")
    issuer.add("second", "EdDSA")
    with pytest.raises(UnavailableError) as raised:
        await keys.find("EdDSA", "second")
    assert raised.value.kind == "keys"
    assert 25 <= raised.value.retry_after <= 30
    keys._asked_at -= 29.8  # the cool-down ends at once
    await keys.find("EdDSA", "second")
    assert issuer.fetches == 3
    await issuer.stop()


async def test_an_unknown_key_id_is_not_refused_while_the_issuer_is_unreachable(published):
    issuer, keys = published
    await keys.fetch()
    issuer.head = b"HTTP/1.1 500 Oops"
    with pytest.raises(UnavailableError):
        await keys.find("EdDSA", "second")
    await keys.find("EdDSA", "first")


async def test_only_an_otherwise_valid_token_causes_a_fetch_of_the_keys(published):
    issuer, keys = published
    await keys.fetch()
    verifier = TokenVerifier([Trust(source=keys, issuers=(issuer.origin,), audiences=(issuer.origin,))])
    unknown = {"kid": "random"}
    for claims in ({"exp": 1}, {"exp": ...}, {"iss": "https://evil.example.com"}, {"aud": "other"}, {"sub": "me"}):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(issuer.sign("first", **{"headers": unknown, "user_id": "alice", **claims}))
    assert issuer.fetches == 1
    with pytest.raises(InvalidTokenError):
        await verifier.verify(issuer.sign("first", headers=unknown))
    assert issuer.fetches == 2


async def test_an_outage_of_the_key_set_is_logged_once_and_again_when_its_cause_changes(published, caplog):
    caplog.set_level(logging.INFO, "doable.auth")
    issuer, keys = published
    for head in (b"HTTP/1.1 500 Oops",) * 3 + (b"HTTP/1.1 404 Not Found",) * 2 + (b"HTTP/1.1 200 OK",) * 2:
        issuer.head = head
        await keys.fetch()
    seen = [(record.getMessage(), record.fields.get("error")) for record in caplog.records]
    assert seen == [
        ("key set not available", "status 500"),
        ("key set not available", "status 404"),
        ("key set available again", None),
        ("key set changed", None),
    ]
    assert caplog.records[-1].fields["keys"] == 1


async def test_a_token_without_a_key_id_passes_where_one_key_of_its_algorithm_is_published(published):
    issuer, keys = published
    issuer.add("of another family", "ES256")
    token = issuer.sign("first", headers={"kid": None})
    verifier = TokenVerifier([Trust(source=keys)], remembered=0)
    assert (await verifier.verify(token)).user_id == "alice"
    issuer.add("second", "EdDSA")
    await keys.fetch()
    with pytest.raises(InvalidTokenError) as refused:
        await verifier.verify(token)
    assert refused.value.reason == "no key id, and several keys are published for this algorithm"


async def test_a_rotated_key_is_found_for_a_token_without_a_key_id_by_one_fetch_in_a_cool_down(published):
    issuer, _ = published
    keys = PublishedKeys(f"{issuer.origin}/jwks", algorithms=ALL, cooldown=60, max_stale=60)
    verifier = TokenVerifier([Trust(source=keys)], remembered=0)
    assert await keys.fetch()
    forged = issuer.sign("first", headers={"kid": None})[:-8] + "AAAAAAAA"
    del issuer.keys["first"]
    issuer.add("second", "EdDSA")
    token = issuer.sign("second", headers={"kid": None})
    with pytest.raises(InvalidTokenError):
        await verifier.verify(issuer.sign("second", exp=1, headers={"kid": None}))
    fetches = issuer.fetches
    assert (await verifier.verify(token)).user_id == "alice"
    assert issuer.fetches == fetches + 1
    for _ in range(20):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(forged)
    assert issuer.fetches == fetches + 1, "anybody can send such tokens"
    assert (await verifier.verify(token)).user_id == "alice"
    await keys.close()


async def test_a_key_that_is_published_without_an_id_serves_tokens_without_one(published):
    issuer, keys = published
    jwk = issuer.jwk("first")
    del jwk["kid"]
    issuer.body = json.dumps({"keys": [jwk]}).encode()
    verifier = TokenVerifier([Trust(source=keys)])
    assert (await verifier.verify(issuer.sign("first", headers={"kid": None}))).user_id == "alice"
    for key_id in ("first", "0", ""):
        with pytest.raises((InvalidTokenError, UnavailableError)):
            await verifier.verify(issuer.sign("first", headers={"kid": key_id}))


def ed25519(issuer, key_id: str, algorithm: str) -> str:
    """A token signed with an Ed25519 key under the algorithm's name of RFC 9864."""
    payload = {"sub": "alice", "exp": int(time.time()) + 900}
    parts = [json.dumps(part).encode() for part in ({"alg": algorithm, "kid": key_id}, payload)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return f"{signed.decode()}.{base64.urlsafe_b64encode(issuer.keys[key_id][1].sign(signed)).rstrip(b'=').decode()}"


@pytest.mark.parametrize("published_as", ["EdDSA", "Ed25519", None])
@pytest.mark.parametrize("sent_as", ["EdDSA", "Ed25519"])
async def test_ed25519_is_one_algorithm_under_both_of_its_names(published, published_as, sent_as):
    issuer, keys = published
    jwk = issuer.jwk("first") | {"alg": published_as}
    issuer.body = json.dumps({"keys": [{name: value for name, value in jwk.items() if value}]}).encode()
    verifier = TokenVerifier([Trust(source=keys)])
    assert (await verifier.verify(ed25519(issuer, "first", sent_as))).user_id == "alice"


async def test_the_name_ed25519_reaches_no_key_of_another_family(published):
    issuer, keys = published
    issuer.add("EC", "ES256")
    verifier = TokenVerifier([Trust(source=keys), Trust(source=SharedSecret("s" * 32))])
    for key_id in ("EC", "first"):
        forged = jwt.encode({"sub": "alice", "exp": int(time.time()) + 900}, "s" * 32, "HS256", {"kid": key_id})
        _, payload, signature = forged.split(".")
        header = base64.urlsafe_b64encode(json.dumps({"alg": "Ed25519", "kid": key_id}).encode()).rstrip(b"=").decode()
        with pytest.raises(InvalidTokenError):
            await verifier.verify(f"{header}.{payload}.{signature}")


@pytest.mark.parametrize(
    ("claim", "configured", "setting"), [("iss", "issuers", "JWT_ISSUER"), ("aud", "audiences", "JWT_AUDIENCE")]
)
async def test_an_issuer_with_an_extra_slash_is_logged_and_refused(published, claim, configured, setting):
    issuer, keys = published
    address = "https://issuer.example.com"
    for theirs, ours in ((f"{address}/", address), (address, f"{address}/")):
        verifier = TokenVerifier([Trust(source=keys, **{configured: (ours,)})])
        with pytest.raises(InvalidTokenError) as refused:
            await verifier.verify(issuer.sign("first", **{claim: theirs}))
        assert f"differs only by a trailing slash; set {setting} exactly as in the token" in refused.value.reason
        assert address not in refused.value.reason
        with pytest.raises(InvalidTokenError) as refused:
            await verifier.verify(issuer.sign("first", **{claim: "https://evil.example.com"}))
        assert "slash" not in refused.value.reason


async def test_tokens_of_a_better_auth_whose_address_is_spelled_otherwise_are_accepted(published):
    issuer, keys = published
    verifier = token_verifier(Settings(better_auth_url=f"HTTP://LocalHost:0{issuer.port}/api/auth"), keys)
    origin = f"http://localhost:{issuer.port}"
    assert (await verifier.verify(issuer.sign("first", iss=origin, aud=origin))).user_id == "alice"


@pytest.mark.parametrize(
    ("claim", "configured", "error"),
    [("iss", "issuers", "InvalidIssuerError"), ("aud", "audiences", "InvalidAudienceError")],
)
async def test_the_log_shows_another_issuer_and_the_expected_one_if_the_signature_is_valid(
    published, claim, configured, error
):
    issuer, keys = published
    await keys.fetch()
    verifier = TokenVerifier([Trust(source=keys, **{configured: ("https://a.example", "https://b.example")})])
    expected = f"{error}: expected 'https://a.example' or 'https://b.example'"
    shown = f"{expected}, and the token has 'https://c.example\\n'"
    for headers, reason in (({}, shown), ({"kid": "unknown"}, expected)):
        with pytest.raises(InvalidTokenError) as refused:
            await verifier.verify(issuer.sign("first", headers=headers, **{claim: "https://c.example\n"}))
        assert refused.value.reason == reason
    with pytest.raises(InvalidTokenError) as refused:
        await verifier.verify(issuer.sign("first", **{claim: "x" * 5_000}))
    assert len(refused.value.reason) < 500


async def test_a_token_signed_with_any_of_several_secrets_is_accepted(published):
    secrets = [f"{number} " + "s" * 32 for number in range(3)]
    verifier = TokenVerifier([Trust(source=SharedSecret(*secrets[:2]))])
    claims = {"sub": "alice", "exp": int(time.time()) + 900}
    for secret in secrets[:2]:
        assert (await verifier.verify(jwt.encode(claims, secret, "HS256"))).user_id == "alice"
    with pytest.raises(InvalidTokenError) as refused:
        await verifier.verify(jwt.encode(claims, secrets[2], "HS256"))
    assert refused.value.reason == "InvalidSignatureError"


async def test_a_failed_fetch_counts_for_the_cool_down_too(published):
    issuer, keys = published
    keys._cooldown = 60.0
    issuer.body = b"<html>gateway timeout</html>"
    for _ in range(20):
        with pytest.raises(UnavailableError):
            await keys.find("EdDSA", "first")
    assert issuer.fetches == 1


async def test_a_rotated_key_is_found_at_once_and_the_old_one_while_it_is_served(published):
    issuer, keys = published
    await keys.fetch()
    issuer.add("second", "ES256")
    await keys.find("ES256", "second")
    await keys.find("EdDSA", "first")
    assert issuer.fetches == 2


async def test_a_key_that_is_withdrawn_is_no_longer_trusted_after_the_next_fetch(published):
    issuer, keys = published
    await keys.find("EdDSA", "first")
    issuer.add("second", "EdDSA")
    del issuer.keys["first"]
    await keys.fetch()
    with pytest.raises(InvalidTokenError):
        await keys.find("EdDSA", "first")


async def test_known_keys_remain_valid_during_an_issuer_outage_but_not_beyond_the_limit(published):
    issuer, keys = published
    await keys.fetch()
    await issuer.stop()
    assert not await keys.fetch()
    await keys.find("EdDSA", "first")
    keys._fetched_at -= 61  # a minute later
    with pytest.raises(UnavailableError):
        await keys.find("EdDSA", "first")
    await issuer.start()


async def test_keys_of_an_issuer_that_is_down_at_startup_are_fetched_later(make_issuer):
    issuer = make_issuer()
    issuer.add("first", "EdDSA")
    await issuer.start()
    await issuer.stop()
    keys = PublishedKeys(issuer.origin, algorithms=ALL, cooldown=0.1)
    keeping = asyncio.create_task(keys.keep_fresh())
    with pytest.raises(UnavailableError):
        await keys.find("EdDSA", "first")
    await issuer.start()
    async with asyncio.timeout(30):
        while keys.age == float("inf"):
            await asyncio.sleep(0.01)
    await keys.find("EdDSA", "first")
    keeping.cancel()
    await keys.close()
    await issuer.stop()


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK", b"<html></html>"),
        (b"HTTP/1.1 200 OK", b"[]"),
        (b"HTTP/1.1 200 OK", b"{}"),
        (b"HTTP/1.1 200 OK", b'{"keys": {}}'),
        (b"HTTP/1.1 200 OK", b'{"keys": []}'),
        (b"HTTP/1.1 200 OK", b'{"keys": [' + b"[" * 30_000),
        (b"HTTP/1.1 200 OK", b'{"keys": [' + b"1," * 5_000_000 + b"1]}"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip", b"\x1f\x8b\x08\x00bomb"),
        (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere", b""),
        (b"HTTP/1.1 404 Not Found", b""),
        (b"HTTP/1.1 500 Oops", b""),
        (b"garbage", b""),
    ],
    ids=[
        "HTML", "list", "empty", "keys an object", "no keys", "nested", "10 MB", "gzip", "redirect", "404", "500",
        "garbage",
    ],
)  # fmt: skip
async def test_a_response_that_is_not_a_key_set_changes_nothing(published, head, body):
    issuer, keys = published
    await keys.fetch()
    issuer.head, issuer.body = head, body
    assert not await keys.fetch()
    assert issuer.fetches == 2
    await keys.find("EdDSA", "first")


async def test_a_fetch_from_a_slow_issuer_times_out(published, monkeypatch):
    issuer, keys = published
    monkeypatch.setattr("service.auth.published.FETCH_TIMEOUT", 0.1)
    issuer.pause = 60
    async with asyncio.timeout(30):
        assert not await keys.fetch()


async def test_a_cancelled_waiter_does_not_cancel_the_fetch_of_the_others(published):
    issuer, keys = published
    issuer.pause = 0.1
    first = asyncio.create_task(keys.find("EdDSA", "first"))
    second = asyncio.create_task(keys.find("EdDSA", "first"))
    async with asyncio.timeout(30):
        while not issuer.fetches:
            await asyncio.sleep(0)
    first.cancel()
    await second
    assert issuer.fetches == 1


def test_symmetric_private_foreign_weak_and_malformed_keys_are_ignored(make_issuer):
    issuer = make_issuer()
    issuer.add("good", "ES256")
    issuer.add("rsa", "RS256")
    good = issuer.jwk("good")
    short = base64.urlsafe_b64encode(b"\xff" * 128).decode().rstrip("=")
    listed = [
        good,
        {"kty": "oct", "kid": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {**good, "kid": "private", "d": "c2VjcmV0"},
        {**good, "kid": "for encryption", "use": "enc"},
        {**good, "kid": "for signing only", "key_ops": ["sign"]},
        {**good, "kid": "of another algorithm", "alg": "RS256"},
        {**good, "kid": "of an unknown algorithm", "alg": "none"},
        {**good, "kid": "off the curve", "x": good["y"]},
        {**good, "kid": 5},
        {**good, "kid": ["good"]},
        {**good, "kid": "alg a list", "alg": ["ES256"]},
        {**good, "kid": "kty a list", "kty": ["EC"]},
        {**good, "kid": "key_ops a number", "key_ops": 5},
        {"kty": "RSA", "kid": "short", "n": short, "e": "AQAB", "alg": "RS256"},
        {"kty": "EC", "kid": "secp256k1", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "P-384", "crv": "P-384", "x": "AA", "y": "AA"},
        {"kty": "OKP", "kid": "Ed448", "crv": "Ed448", "x": "AA", "alg": "EdDSA"},
        {},
        None,
        "key",
        5,
        [],
    ]
    keys = KeySet.read({"keys": listed})
    assert len(keys) == 1
    assert keys.find("ES256", "good")
    for entry in listed[1:]:
        if isinstance(entry, dict) and isinstance(entry.get("kid"), str):
            assert entry["kid"] not in keys


def test_a_key_without_alg_serves_only_its_own_type_and_curve(make_issuer):
    issuer = make_issuer()
    for algorithm in sorted(ALL):
        issuer.add(algorithm, algorithm)
    entries = [{name: value for name, value in issuer.jwk(key_id).items() if name != "alg"} for key_id in issuer.keys]
    keys = KeySet.read(json.loads(json.dumps({"keys": entries})))
    for key_id, own in {
        "EdDSA": {"EdDSA"}, "ES256": {"ES256"}, "ES384": {"ES384"}, "ES512": {"ES512"},
        "RS256": {"RS256", "PS256"}, "PS256": {"RS256", "PS256"},
    }.items():  # fmt: skip
        for algorithm in ALL:
            if algorithm in own:
                assert keys.find(algorithm, key_id)
            else:
                with pytest.raises(InvalidTokenError):
                    keys.find(algorithm, key_id)


@pytest.fixture
def remembering(published):
    """A verifier over the published keys, with a cache that forgets tokens when the keys change."""
    issuer, keys = published
    verifier = TokenVerifier([Trust(source=keys)], leeway=0, remembered=3)
    keys.on_change = verifier.forget
    return issuer, keys, verifier


async def test_a_verified_token_is_cached_and_not_verified_again(remembering, monkeypatch):
    issuer, _, verifier = remembering
    token = issuer.sign("first")
    identity = await verifier.verify(token)
    monkeypatch.setattr("jwt.decode", None)
    assert await verifier.verify(token) == identity


async def test_a_cached_token_does_not_outlive_its_expiry(remembering, monkeypatch):
    issuer, _, verifier = remembering
    token = issuer.sign("first", exp=int(time.time()) + 100)
    await verifier.verify(token)
    later = time.time() + 100
    monkeypatch.setattr("time.time", lambda: later)
    assert verifier.recall(token) is None
    monkeypatch.undo()


async def test_a_cached_token_does_not_outlive_its_key(remembering):
    issuer, keys, verifier = remembering
    token = issuer.sign("first")
    await verifier.verify(token)
    issuer.add("second", "EdDSA")
    del issuer.keys["first"]
    await keys.fetch()
    with pytest.raises(InvalidTokenError):
        await verifier.verify(token)


async def test_a_cached_token_does_not_outlive_keys_that_are_too_old(remembering):
    issuer, keys, verifier = remembering
    token = issuer.sign("first")
    await verifier.verify(token)
    await issuer.stop()
    keys._fetched_at -= 61
    keys._drop_stale()
    with pytest.raises(UnavailableError):
        await verifier.verify(token)
    await issuer.start()


async def test_the_token_cache_is_bounded_and_contains_no_token_and_no_failure(remembering):
    issuer, _, verifier = remembering
    tokens = [issuer.sign("first", f"user-{number}") for number in range(5)]
    for token in tokens:
        await verifier.verify(token)
    with pytest.raises(InvalidTokenError):
        await verifier.verify(tokens[0][:-8] + "AAAAAAAA")
    assert len(verifier._verified) == 3
    assert verifier.recall(tokens[0]) is None
    assert verifier.recall(tokens[4])
    assert not any(token.encode() in digest for token in tokens for digest in verifier._verified)


async def test_a_shared_secret_never_verifies_tokens_of_published_keys_or_vice_versa(published):
    issuer, keys = published
    secret = "a secret of its own, of more than 32 bytes"
    verifier = TokenVerifier([Trust(source=keys), Trust(source=SharedSecret(secret))])
    assert (await verifier.verify(issuer.sign("first"))).user_id == "alice"
    only_secret = TokenVerifier([Trust(source=SharedSecret(secret))])
    with pytest.raises(InvalidTokenError):
        await only_secret.verify(issuer.sign("first"))


async def test_a_setting_selects_the_claim_with_the_user_id(published):
    issuer, keys = published
    verifier = TokenVerifier([Trust(source=keys)], user_claim="uid")
    assert (await verifier.verify(issuer.sign("first", ..., uid="u-7"))).user_id == "u-7"
    with pytest.raises(InvalidTokenError):
        await verifier.verify(issuer.sign("first"))
