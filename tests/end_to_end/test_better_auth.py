"""Doable with a real Better Auth server: the service accepts its tokens in every algorithm and after every rotation."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from tests.conftest import NO_TLS, SECRET
from tests.end_to_end.npm import NODE, NPM, install

EXAMPLE = Path(__file__).parents[2] / "examples" / "better-auth"

pytestmark = pytest.mark.skipif(not (NODE and NPM), reason="LOUD: node is not installed, so Better Auth is NOT tested")


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Install the example's packages, once."""
    install(EXAMPLE)


@pytest.fixture
def better_auth(launch):
    """`await better_auth(port, JWT_ALG="ES256")` starts a Better Auth server."""

    async def start(port: int, **environment: str) -> str:
        address = f"http://localhost:{port}"
        process = launch(
            [NODE, "server.mjs"], cwd=EXAMPLE, PORT=str(port), BETTER_AUTH_URL=address, BETTER_AUTH_SECRET=SECRET,
            DEV_ENDPOINTS="1", **environment,
        )  # fmt: skip
        await process.says("listening on", 120)
        return process

    return start


async def sign_up(port: int) -> httpx.AsyncClient:
    """Return a client with the session of a new user."""
    origin = f"http://localhost:{port}"
    client = httpx.AsyncClient(base_url=origin, headers={"Origin": origin}, timeout=60, verify=NO_TLS)
    account = {"email": f"{id(client)}@example.com", "password": "correct horse battery", "name": "Ada"}
    response = await client.post("/api/auth/sign-up/email", json=account)
    assert response.status_code == 200, response.text
    return client


async def jwt_of(session: httpx.AsyncClient) -> str:
    response = await session.get("/api/auth/token")
    assert response.status_code == 200, response.text
    return response.json()["token"]


@pytest.fixture
def doable(launch, eventually, settings):
    """`await doable(port, BETTER_AUTH_URL=…)` starts a service, and returns a client for it."""

    async def start(port: int, **environment: str) -> httpx.AsyncClient:
        launch(["python", "-m", "service", "run"], DATABASE_URL=settings.database_url, PORT=str(port), **environment)
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60, verify=NO_TLS)
        await eventually(lambda: client.get("/health/live"), 60)
        return client

    return start


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# test_tokens.py verifies tokens of every algorithm. Each Better Auth server takes seconds of CPU time, so only
# `make trials` starts one for each algorithm; the last test signs with Better Auth's own choice, EdDSA.
@pytest.mark.trial
@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256", "ES512"])
async def test_tokens_in_each_algorithm_of_better_auth_are_accepted(better_auth, doable, unused_port, algorithm):
    auth_port, port = unused_port(), unused_port()
    await better_auth(auth_port, JWT_ALG=algorithm)
    client = await doable(port, BETTER_AUTH_URL=f"http://localhost:{auth_port}")
    async with aclosing(await sign_up(auth_port)) as session, aclosing(client):
        created = await client.post(
            "/api/me/tasks", json={"title": "From Better Auth"}, headers=bearer(await jwt_of(session))
        )
        assert created.status_code == 201, created.text
        assert created.json()["user_id"] == (await session.get("/api/auth/get-session")).json()["user"]["id"]


async def the_demo_of_the_example_runs(auth_port: int, port: int) -> None:
    environment = {
        "PATH": str(Path(NODE).parent), "BETTER_AUTH_URL": f"http://localhost:{auth_port}",
        "DOABLE_URL": f"http://127.0.0.1:{port}",
    }  # fmt: skip
    demo = await asyncio.create_subprocess_exec(
        NODE, "demo.mjs", cwd=EXAMPLE, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complained = await asyncio.wait_for(demo.communicate(), 120)
    assert demo.returncode == 0, complained.decode()
    assert b"EdDSA" in said


async def test_hs256_tokens_signed_with_the_shared_secret_are_accepted(better_auth, doable, unused_port):
    auth_port, port = unused_port(), unused_port()
    await better_auth(auth_port, JWT_ALG="HS256")
    client = await doable(port, BETTER_AUTH_SECRET=SECRET)
    async with aclosing(await sign_up(auth_port)) as session, aclosing(client):
        response = await client.get("/api/me/tasks", headers=bearer(await jwt_of(session)))
        assert response.status_code == 200, response.text


async def test_without_a_shared_secret_tokens_are_accepted_before_and_after_rotations_and_outages(
    better_auth, doable, unused_port, eventually
):
    auth_port, port = unused_port(), unused_port()
    client = await doable(port, BETTER_AUTH_URL=f"http://localhost:{auth_port}", JWKS_COOLDOWN="1")
    server = await better_auth(auth_port)  # it starts later than the service
    async with aclosing(await sign_up(auth_port)) as session, aclosing(client):
        first = await jwt_of(session)

        async def let_in(token: str) -> bool:
            response = await client.get("/api/me/tasks", headers=bearer(token))
            assert response.status_code in {200, 503}, response.text
            if response.status_code == 503:
                assert int(response.headers["retry-after"]) >= 1
            return response.status_code == 200

        await eventually(lambda: let_in(first), 60)
        await each_user_reaches_only_their_tasks(client, session, auth_port)
        await the_demo_of_the_example_runs(auth_port, port)
        rotated = await session.post("/api/auth/dev/rotate-keys")
        assert rotated.status_code == 200, rotated.text
        second = await jwt_of(session)
        assert second.split(".")[0] != first.split(".")[0]
        await eventually(lambda: accepted(client, second), 60)
        assert await let_in(first)
        server.kill()
        assert await let_in(first)
        assert await let_in(second)


async def each_user_reaches_only_their_tasks(client: httpx.AsyncClient, session: httpx.AsyncClient, port: int) -> None:
    token = await jwt_of(session)
    created = await client.post("/api/me/tasks", json={"title": "From Better Auth"}, headers=bearer(token))
    assert created.status_code == 201, created.text
    me = (await session.get("/api/auth/get-session")).json()["user"]["id"]
    assert created.json()["user_id"] == me
    listed = await client.get(f"/api/{me}/tasks", headers=bearer(token))
    assert listed.json() == [created.json()]
    async with aclosing(await sign_up(port)) as stranger:
        refused = await client.get(f"/api/{me}/tasks", headers=bearer(await jwt_of(stranger)))
        assert refused.status_code == 403
    session_token = session.cookies.get("better-auth.session_token")
    for mistake in (session_token, session_token.split(".")[0]):
        response = await client.get("/api/me/tasks", headers=bearer(mistake))
        assert response.status_code == 401


async def accepted(client: httpx.AsyncClient, token: str) -> bool:
    return (await client.get("/api/me/tasks", headers=bearer(token))).status_code == 200
