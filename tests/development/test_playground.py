"""Production has no playground and issues no token."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("path", ["/playground", "/playground/", "/playground/client/index.js", "/playground/session"])
async def test_in_production_there_is_no_playground_and_no_token(http, refusal, path):
    asked = {"Host": "localhost", "Sec-Fetch-Site": "same-origin"}
    refusal(await http.get(path, headers=asked), 404, "not_found")


async def test_no_route_of_production_leads_to_the_playground(app, server):
    assert not [route.path for route in app.router.routes if route.path.startswith("playground")]
