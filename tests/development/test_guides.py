"""The guides at /guides: every page of the docs is there, and its links to other pages work; nothing else is."""

from __future__ import annotations

import re

import pytest

from service.development import guides

PRODUCTION = ["/guides", "/guides/README.md", "/guides/how-to/connect-a-frontend.md"]


@pytest.mark.parametrize("path", PRODUCTION)
async def test_production_serves_no_guides(http, refusal, path):
    refusal(await http.get(path), 404, "not_found")


def test_each_link_of_a_page_leads_to_a_page():
    links = {
        link
        for name, path in guides.PAGES.items()
        for link in re.findall(r'<a href="([^"]+)"', guides.render(name, path.read_text()))
        if not link.startswith("https://")
    }
    assert len(links) > 40
    assert {link.removeprefix("/guides/") for link in links - {"/", "/docs"}} <= set(guides.PAGES)


def test_the_text_of_a_page_is_escaped_and_its_links_lead_only_to_pages():
    page = guides.render(
        "how-to/x.md",
        '# One <b>\n[Tasks](../reference/tasks.md#fields) [env](../../.env) [js](javascript:alert) [a](https://a.example/?q="x)',
    )
    assert "<strong># One &lt;b&gt;</strong>" in page
    assert '<a href="/guides/reference/tasks.md">Tasks</a> env js <a href="https://a.example/?q=&quot;x">a</a>' in page
    assert "javascript" not in page
