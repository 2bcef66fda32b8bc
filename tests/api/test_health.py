"""Whether the process lives and can do its work."""

from __future__ import annotations

import pytest

from service.api import health
from service.database import migrations
from service.errors import UnavailableError

READY = ["/health/ready", "/health", "/health/"]


@pytest.fixture(autouse=True)
def forgotten(app):
    """Nothing is remembered of an earlier answer, and nothing stays for a later one."""
    app.ctx.readiness = (0.0, None)
    yield
    app.ctx.readiness = (0.0, None)


async def test_live_needs_no_token_and_asks_nobody(http, statements):
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
    }


@pytest.mark.parametrize("path", ["/health/live", *READY])
async def test_head_answers_as_get_without_a_body(http, path):
    got, head = await http.get(path), await http.head(path)
    assert head.status_code == got.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(got.content))
    assert head.headers["content-type"] == "application/json"


async def test_a_token_that_is_not_in_order_does_not_matter(http):
    assert (await http.get("/health/ready", headers={"Authorization": "Bearer nonsense"})).status_code == 200


async def test_however_often_it_is_asked_the_database_is_asked_once(http, statements):
    with statements() as seen:
        for _ in range(5):
            await http.get("/health/ready")
            await http.head("/health")
    assert 1 <= len(seen) <= 2
    with statements() as seen:
        await http.get("/health")
    assert seen == []


async def test_without_a_database_it_says_which_part_failed_and_nothing_more(http, monkeypatch, settings):
    async def applied():
        raise UnavailableError("connection") from OSError("connect to db.internal:5432 as admin:hunter2 failed")

    monkeypatch.setattr(health.migrations, "applied", applied)
    for path in READY:
        response = await http.get(path)
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/json"
        assert response.json() == {
            "status": "unavailable",
            "database": {"status": "unavailable", "detail": "no answer (connection)"},
            "migrations": {"status": "unknown", "detail": "the database could not be asked"},
        }
    assert (await http.head("/health")).status_code == 503
    assert (await http.get("/health/live")).status_code == 200


@pytest.mark.parametrize("version", [None, "0_19990101000000_before.py"])
async def test_behind_the_newest_migration_it_is_not_ready(http, monkeypatch, version):
    async def applied():
        return version

    monkeypatch.setattr(health.migrations, "applied", applied)
    response = await http.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["status"] == "unavailable"
    assert response.json()["database"] == {"status": "ok"}
    assert response.json()["migrations"]["status"] == "behind"
    assert "run the migrations" in response.json()["migrations"]["detail"]
