"""GET /metrics: permitted clients, and the content."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from urllib.parse import urlsplit

import httpx
import pytest

TOKEN = "a-token-for-prometheus-alone"


def value(written: str, name: str, **labels: str) -> float:
    """Return the sum of the samples of `name` that have these labels."""
    found = [
        float(line.rsplit(" ", 1)[1])
        for line in written.splitlines()
        if re.match(rf"{name}[ {{]", line) and all(f'{label}="{text}"' in line for label, text in labels.items())
    ]
    return sum(found)


@pytest.fixture
def with_token(app, monkeypatch):
    monkeypatch.setattr(app.ctx, "settings", dataclasses.replace(app.ctx.settings, metrics_token=TOKEN))


async def test_a_request_for_metrics_through_a_proxy_is_404(http, refusal, subtests):
    for header in [
        "X-Forwarded-For",
        "Forwarded",
        "X-Real-IP",
        "Via",
        "X-Forwarded-Port",
        "CF-Connecting-IP",
        "True-Client-IP",
    ]:
        for sent in ["203.0.113.7", "127.0.0.1", ""]:
            with subtests.test(header=header, sent=sent):
                unknown = await http.get("/nothing", headers={header: sent})
                response = await http.get("/metrics", headers={header: sent})
                body = refusal(response, 404, "not_found")
                assert body["detail"] == unknown.json()["detail"]


@pytest.mark.parametrize("host", ["api.example.com", "localhost.example.com", "127.0.0.1.nip.example", "10.0.0.1", ""])
async def test_a_request_for_metrics_that_names_another_host_is_404(http, refusal, host):
    refusal(await http.get("/metrics", headers={"Host": host}), 404, "not_found")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.8.8.8", "[::1]:8000"])
async def test_metrics_accept_every_local_host_name(http, host):
    assert (await http.get("/metrics", headers={"Host": host})).status_code == 200


async def test_a_request_for_metrics_from_a_local_proxy_with_http_1_0_is_404(server):
    place = urlsplit(server)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(f"GET /metrics HTTP/1.0\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_a_local_client_may_read_the_metrics(http):
    response = await http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert value(response.text, "doable_info") == 1
    assert value(response.text, "doable_workers") == 1
    assert (await http.head("/metrics")).status_code == 200


@pytest.mark.parametrize("address", ["203.0.113.7", "::ffff:203.0.113.7", "2001:db8::1", "not an address", ""])
async def test_no_other_machine_may_read_the_metrics(http, refusal, monkeypatch, app, address):
    monkeypatch.setattr("service.web.request.ApiRequest.ip", address)
    refusal(await http.get("/metrics"), 404, "not_found")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
async def test_metrics_accept_every_loopback_address(http, monkeypatch, address):
    monkeypatch.setattr("service.web.request.ApiRequest.ip", address)
    assert (await http.get("/metrics")).status_code == 200


async def test_a_client_with_the_token_may_read_the_metrics_from_everywhere(http, with_token, monkeypatch):
    monkeypatch.setattr("service.web.request.ApiRequest.ip", "203.0.113.7")
    headers = {"Authorization": f"bearer {TOKEN}", "X-Forwarded-For": "203.0.113.7", "Host": "api.example.com"}
    assert (await http.get("/metrics", headers=headers)).status_code == 200


@pytest.mark.parametrize("sent", [TOKEN[:-1], TOKEN + "x", "-", "Ünïcode"])
async def test_a_request_for_metrics_with_another_token_is_404(http, refusal, with_token, sent):
    headers = {"Authorization": f"Bearer {sent}".encode(), "X-Forwarded-For": "203.0.113.7"}
    refusal(await http.get("/metrics", headers=headers), 404, "not_found")


async def test_no_token_is_accepted_if_none_is_configured(http, refusal):
    for sent in ("", "Bearer", "Bearer -", "Bearer x"):
        headers = {"Authorization": sent, "X-Forwarded-For": "203.0.113.7"}
        refusal(await http.get("/metrics", headers=headers), 404, "not_found")


async def test_requests_are_counted_by_template_and_without_ids(alice, http):
    route = {"route": "/api/{user_id}/tasks/{task_id}", "method": "GET", "status": "404"}
    before = (await http.get("/metrics")).text
    assert (await alice.get(f"{alice.path}/987654321")).status_code == 404
    after = (await http.get("/metrics")).text
    assert value(after, "doable_requests_total", **route) - value(before, "doable_requests_total", **route) == 1
    del route["status"]
    count = "doable_request_duration_seconds_count"
    assert value(after, count, **route) - value(before, count, **route) == 1
    assert "alice" not in after
    assert "987654321" not in after


async def test_invented_paths_and_methods_become_no_label(http, server):
    await http.get("/made-up-path")
    async with httpx.AsyncClient(base_url=server, verify=False) as client:
        await client.request("MADEUP", "/health/live")
    written = (await http.get("/metrics")).text
    assert value(written, "doable_requests_total", route="none", method="GET", status="404") >= 1
    assert "made-up" not in written
    assert "MADEUP" not in written


async def test_pool_caches_and_keys_have_metrics(alice, http, app, eventually):
    await eventually(lambda: app.ctx.published_keys.count)
    before = (await http.get("/metrics")).text
    await alice.make()
    after = (await http.get("/metrics")).text
    count = "doable_database_acquire_seconds_count"
    assert value(after, count) > value(before, count)
    assert value(after, "doable_database_pool_size") == app.ctx.settings.pool_size
    assert value(after, "doable_database_pool_in_use") == value(after, "doable_database_pool_waiting") == 0
    assert value(after, "doable_token_cache_size") >= 1
    assert 0 <= value(after, "doable_key_set_age_seconds") < 600
