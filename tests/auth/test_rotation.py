"""Rotation of keys and secrets, while the service runs or between two starts."""

from __future__ import annotations

import re
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import httpx
import jwt
import pytest

from service.auth.keys import KeySet
from service.auth.trust import token_verifier
from service.config import Settings
from service.errors import InvalidTokenError, UnavailableError
from service.web.limiting import RateLimiter

ROOT = Path(__file__).parents[2]
DOABLE = [sys.executable, "-m", "service"]
OLD = "the secret that was there from the beginning"
COMMANDS = re.findall(
    r"^ *```sh\n(.*?)^ *```", (ROOT / "docs/how-to/rotate-a-secret.md").read_text(), re.MULTILINE | re.DOTALL
)


async def answer(port: int, token: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, verify=False) as client:
        return await client.get("/api/me/tasks", headers={"Authorization": f"Bearer {token}"})


async def test_a_token_with_a_new_key_in_the_cool_down_is_503_with_the_remaining_seconds(
    launch, settings, make_issuer, free_port, eventually
):
    issuer = make_issuer()
    issuer.add("first", "EdDSA")
    await issuer.start()
    process = launch(
        [*DOABLE, "run"],
        DATABASE_URL=settings.database_url, BETTER_AUTH_URL=issuer.origin, PORT=str(free_port), JWKS_COOLDOWN="600",
    )  # fmt: skip
    await process.says("key set changed")
    assert (await eventually(lambda: answer(free_port, issuer.sign("first")))).status_code == 200
    made_up = await answer(free_port, issuer.sign("first", headers={"kid": "made up"}))
    assert made_up.status_code == 401, "the issuer was asked, and does not publish it"
    fetches = issuer.fetches
    issuer.add("second", "EdDSA")
    for _ in range(3):
        rotated = await answer(free_port, issuer.sign("second"))
        assert rotated.status_code == 503
        assert rotated.headers["content-type"] == "application/problem+json"
        assert rotated.json()["code"] == "service_unavailable"
        assert rotated.json()["detail"] == UnavailableError.detail
        assert 300 < int(rotated.headers["retry-after"]) <= 600
    expired = await answer(free_port, issuer.sign("second", exp=1))
    assert expired.status_code == 401, "it could not pass with any key"
    assert (await answer(free_port, issuer.sign("first"))).status_code == 200
    assert issuer.fetches == fetches
    await issuer.stop()


@pytest.fixture
async def cooling(app, server, monkeypatch):
    """The key set of the server in a long cooldown. An address may send two bad tokens."""
    keys = app.ctx.published_keys
    assert await keys.fetch()
    monkeypatch.setattr(keys, "_cooldown", 600.0)
    monkeypatch.setattr(keys, "_asked_at", time.monotonic())
    monkeypatch.setattr(app.ctx, "failure_limiter", RateLimiter("auth", "2/day", "memory"))
    return keys


@pytest.fixture
async def rotated(issuer, cooling):
    """A token of a key that the issuer publishes during the cooldown."""
    issuer.add("rotated", "ES256")
    yield issuer.sign("rotated")
    del issuer.keys["rotated"]
    assert await cooling.fetch()


def bearer(sent: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {sent}"}


@pytest.mark.usefixtures("empty")
async def test_invented_key_ids_count_as_bad_tokens_of_their_address_and_valid_tokens_still_pass(  # noqa: PLR0913, PLR0917 - each is a fixture
    http, issuer, cooling, rotated, refusal, caplog
):
    for number in range(2):
        invented = issuer.sign("EdDSA", headers={"kid": f"invented {number}"})
        answered = await http.get("/api/me/tasks", headers=bearer(invented))
        refusal(answered, 503, "service_unavailable")
        assert 300 < int(answered.headers["retry-after"]) <= 600
    for sent in (issuer.sign("EdDSA", headers={"kid": "another"}), rotated):
        answered = await http.get("/api/me/tasks", headers=bearer(sent))
        refusal(answered, 429, "rate_limited")
        assert 1 <= int(answered.headers["retry-after"]) <= 600, "a token of the new key may pass after the cooldown"
    assert (await http.get("/api/me/tasks", headers=bearer(issuer.sign("EdDSA")))).status_code == 200
    cooling._asked_at -= 600  # the cooldown ends
    assert (await http.get("/api/me/tasks", headers=bearer(rotated))).status_code == 200
    logged = [record for record in caplog.records if record.name == "doable.errors"]
    assert [(record.levelname, record.fields["kind"]) for record in logged] == [("WARNING", "keys")] * 2
    assert not any(record.exc_info for record in logged), "strangers could fill the log with stacks"


async def test_tokens_are_not_counted_as_bad_while_no_keys_are_known(http, issuer, cooling, refusal, monkeypatch):
    monkeypatch.setattr(cooling, "_keys", KeySet(()))
    for number in range(4):  # users of which no token is cached
        answered = await http.get("/api/me/tasks", headers=bearer(issuer.sign("EdDSA", f"keyless-{number}")))
        refusal(answered, 503, "service_unavailable")


@pytest.mark.parametrize(
    "stage",
    [(2, ["old"], ["old", "new"]), (3, ["new"], ["new", "old"]), (4, ["new"], ["new"])],
    ids=["both", "turned round", "the new one alone"],
)
async def test_the_commands_of_the_guide_rotate_a_secret(launch, settings, unused_port, eventually, stage):
    step, signed_with, accepted = stage
    script = f'OLD="{OLD}"\n' + "\n".join(COMMANDS[:step]) + '\necho "$NEW"\nprintenv BETTER_AUTH_SECRET\n'
    exported = launch(["bash", "-c", script])
    assert await exported.exit_code() == 0, exported.stderr
    new, exported_secret = exported.stdout.splitlines()
    signed = launch([*DOABLE, "token", "--user", "ada"], BETTER_AUTH_SECRET=exported_secret)
    assert await signed.exit_code() == 0, signed.stderr
    token = signed.stdout.strip()
    secrets = {"old": OLD, "new": new}
    for name, secret in secrets.items():
        if name in signed_with:
            jwt.decode(token, secret, ["HS256"])
        else:
            with pytest.raises(jwt.InvalidSignatureError):
                jwt.decode(token, secret, ["HS256"])

    port = unused_port()
    listed = ",".join(secrets[name] for name in accepted)
    variables = {"DATABASE_URL": settings.database_url, "BETTER_AUTH_SECRET": listed, "PORT": str(port)}
    sent = {name: jwt.encode({"sub": "ada", "exp": 2**32}, secret, "HS256") for name, secret in secrets.items()}
    verifier = token_verifier(Settings.from_environ(variables), None)
    for name, token in sent.items():
        with nullcontext() if name in accepted else pytest.raises(InvalidTokenError):
            assert (await verifier.verify(token)).user_id == "ada"
    if step == 2:  # one service is enough to see that it uses this verifier
        launch([*DOABLE, "run"], **variables)
        for token in sent.values():
            assert (await eventually(lambda token=token: answer(port, token))).status_code == 200
    checked = launch([*DOABLE, "check"], **variables)
    assert await checked.exit_code() == 0, checked.stderr
    line = "  - HS256 with one of 2 secrets in BETTER_AUTH_SECRET, any issuer, any audience"
    assert (line in checked.stdout.splitlines()) == (len(accepted) == 2)
    assert not any(secret in checked.stdout for secret in secrets.values())


def test_the_guide_shows_the_output_of_check():
    guide = (ROOT / "docs/how-to/rotate-a-secret.md").read_text()
    assert len(COMMANDS) == 4
    assert "- HS256 with one of 2 secrets in BETTER_AUTH_SECRET, any issuer, any audience" in guide
