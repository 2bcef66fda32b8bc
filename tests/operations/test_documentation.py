"""The page at /docs: it reads and tries the API, and loads nothing from anywhere else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest


class Loaded(HTMLParser):
    """Notes what a page loads, and any script or handler that stands in the page itself."""

    def __init__(self):
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.addresses += [given[name] for name in ("src", "href") if given.get(name)]
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "script" and "src" not in given:
            self.inline.append(tag)


@pytest.fixture
async def page(http):
    response = await http.get("/docs")
    assert response.status_code == 200
    return response


@pytest.fixture
def loaded(page) -> Loaded:
    parser = Loaded()
    parser.feed(page.text)
    return parser


async def test_the_page_needs_no_token_and_is_html(page):
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-request-id"]
    assert page.text.startswith("<!doctype html>")


async def test_a_trailing_slash_makes_no_difference(http, page):
    assert (await http.get("/docs/")).text == page.text


async def test_its_policy_lets_it_load_its_own_files_alone(page):
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"https?:|\*|'unsafe-eval'", page.headers["content-security-policy"])


async def test_it_names_no_other_host_and_runs_nothing_inline(page, loaded):
    assert "//" not in page.text
    assert loaded.inline == []
    assert {address.split("/")[1] for address in loaded.addresses if not address.startswith("data:")} == {"docs"}


async def test_everything_it_loads_is_there_with_the_right_media_type(http, loaded):
    for address in loaded.addresses:
        if address.startswith("data:"):
            continue
        response = await http.get(address)
        assert response.status_code == 200, address
        kind = "text/css; charset=utf-8" if address.endswith(".css") else "text/javascript; charset=utf-8"
        assert response.headers["content-type"] == kind
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "max-age=" in response.headers["cache-control"]


async def test_it_starts_with_our_own_description_and_asks_no_validator_elsewhere(http):
    script = (await http.get("/docs/start.js")).text
    assert 'url: "/openapi.json"' in script
    assert 'validatorUrl: "none"' in script  # by default every page view of a public host is told to a third party
    assert "//" not in script


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fsecret", "swagger_bundle.js", "%00", "..%2F__init__.py"])
async def test_a_file_that_is_not_the_pages_own_is_not_found(http, name):
    response = await http.get(f"/docs/{name}")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_the_page_answers_head_and_options_and_refuses_the_rest(http):
    head = await http.head("/docs")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-security-policy"]
    assert (await http.options("/docs")).status_code == 204
    refused = await http.post("/docs")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS"
