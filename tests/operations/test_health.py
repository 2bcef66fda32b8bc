"""Liveness and readiness of a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.database import migrations
from service.errors import UnavailableError
from service.operations import readiness

READY = ["/health/ready", "/health", "/health/"]


@pytest.fixture(autouse=True)
async def forgotten(app, server, eventually):
    """Clear the remembered readiness before and after each test."""
    await eventually(lambda: app.ctx.published_keys.count)
    app.ctx.readiness.forget()
    yield
    app.ctx.readiness.forget()


async def test_live_needs_no_token_and_no_other_service(http, statements):
    with statements() as seen:
        response = await http.get("/health/live")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.json() == {"status": "ok"}
    assert seen == []


@pytest.mark.parametrize("path", READY)
async def test_ready_needs_no_token_and_names_its_parts(http, path):
    response = await http.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "status": "ok",
        "database": {"status": "ok"},
        "migrations": {"status": "ok", "detail": migrations.newest()},
        "keys": {"status": "ok"},
    }


@pytest.mark.parametrize("path", ["/health/live", *READY])
async def test_head_responds_as_get_without_a_body(http, path):
    got, head = await http.get(path), await http.head(path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(got.content))
    assert head.headers["content-type"] == "application/json"


async def test_health_routes_ignore_an_invalid_token(http):
    assert (await http.get("/health/ready", headers={"Authorization": "Bearer nonsense"})).status_code == 200


async def test_many_readiness_requests_cause_one_database_query(app, http, statements, monkeypatch):
    monkeypatch.setattr(readiness, "REMEMBERED", 60.0)
    with statements() as seen:
        for _ in range(5):
            await http.get("/health/ready")
            await http.head("/health")
    assert len(seen) == 1
    app.ctx.readiness.forget()
    with statements() as seen:
        await asyncio.gather(*(http.get("/health/ready") for _ in range(20)))
    assert len(seen) == 1, "nor by many at once"
    with statements() as seen:
        await http.get("/health")
    assert seen == []


async def test_readiness_without_a_database_names_only_the_failed_part(http, monkeypatch, settings):
    async def applied(_pool):
        raise UnavailableError("connection") from OSError("connect to db.internal:5432 as admin:hunter2 failed")

    monkeypatch.setattr(readiness.migrations, "applied", applied)
    for path in READY:
        response = await http.get(path)
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {
            "status": "unavailable",
            "database": {"status": "unavailable", "detail": "no answer (connection)"},
            "migrations": {"status": "unknown", "detail": "the database did not answer"},
            "keys": {"status": "ok"},
        }
        assert 1 <= int(response.headers["retry-after"]) <= 3
    assert (await http.head("/health")).status_code == 503
    assert (await http.get("/health/live")).status_code == 200


@pytest.mark.parametrize("versions", [[], ["0_19990101000000_before.py"]])
async def test_a_service_with_pending_migrations_is_not_ready(http, monkeypatch, versions):
    async def applied(_pool):
        return versions

    monkeypatch.setattr(readiness.migrations, "applied", applied)
    response = await http.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert response.json()["database"] == {"status": "ok"}
    assert response.json()["migrations"]["status"] == "behind"
    assert "run the migrations" in response.json()["migrations"]["detail"]


@pytest.fixture
async def later(connection) -> AsyncIterator[str]:
    """Apply a migration of a later release, and return its name."""
    name = "999_20991231000000_later.py"
    await connection.execute("INSERT INTO aerich (version, app, content) VALUES ($1, 'service', '{}')", name)
    yield name
    await connection.execute("DELETE FROM aerich WHERE version = $1", name)


@pytest.mark.parametrize("path", READY)
async def test_a_service_is_ready_on_the_schema_of_a_later_release(http, later, path):
    response = await http.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "status": "ok",
        "database": {"status": "ok"},
        "migrations": {"status": "ok", "detail": later},
        "keys": {"status": "ok"},
    }


async def test_a_database_that_does_not_answer_within_a_second_is_not_waited_for(http, monkeypatch):
    async def applied(_pool):
        await asyncio.sleep(3600)

    monkeypatch.setattr(readiness.migrations, "applied", applied)
    monkeypatch.setattr(readiness, "PATIENCE", 0.1)
    answers = await asyncio.gather(*(http.get("/health/ready") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {503}
    assert answers[0].json()["database"] == {"status": "unavailable", "detail": "no answer (timeout)"}


async def test_a_database_without_any_migration_is_not_ready(pool, app, http, monkeypatch):
    async def run(_client, *_arguments):
        raise UnavailableError("not_migrated")

    monkeypatch.setattr(pool.__class__, "_run", run)
    response = await http.get("/health/ready")
    assert (response.status_code, response.json()["migrations"]["status"]) == (503, "behind")


async def test_a_service_without_the_issuers_keys_is_not_ready(app, http, monkeypatch):
    class Nothing:
        count = 0

    monkeypatch.setattr(app.ctx.readiness, "_keys", Nothing)
    response = await http.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert response.json()["keys"]["status"] == "missing"
    assert response.json()["database"] == {"status": "ok"}


async def test_readiness_without_a_key_set_does_not_mention_keys(app, http, monkeypatch):
    monkeypatch.setattr(app.ctx.readiness, "_keys", None)
    response = await http.get("/health/ready")
    assert response.status_code == 200
    assert "keys" not in response.json()


async def test_a_stopping_service_is_not_ready_and_queries_no_other_service(app, http, statements, monkeypatch):
    monkeypatch.setattr(app.ctx.live, "draining", True)
    with statements() as seen:
        response = await http.get("/health")
    assert (response.status_code, response.json()["status"]) == (503, "draining")
    assert int(response.headers["retry-after"]) >= 1
    assert seen == []
    assert (await http.get("/health/live")).status_code == 200
