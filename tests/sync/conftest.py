"""Fixtures for the tests of event streams."""

from __future__ import annotations

import pytest


@pytest.fixture
def hub(app):
    return app.ctx.live


@pytest.fixture
async def all_end(hub, eventually, server):
    """Check that no stream is left after its client has disconnected."""
    yield
    await eventually(lambda: hub.open == 0)
    assert hub._waiting == {}
