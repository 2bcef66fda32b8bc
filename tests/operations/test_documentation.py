"""The page at /docs: it reads and tries the API, and loads nothing from anywhere else."""

from __future__ import annotations

import gzip
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from service.operations.documentation import takes_gzip

PAGE = Path(__file__).parents[2] / "service" / "operations" / "page"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Loaded(HTMLParser):
    """Record the files that a page loads, its links, and any inline script, style or handler."""

    def __init__(self):
        super().__init__()
        self.addresses: list[str] = []
        self.links: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        found = [given[name] for name in ("src", "href") if given.get(name)]
        (self.links if tag == "a" else self.addresses).extend(found)
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in given):
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


def nonce(page) -> str:
    (found,) = re.findall(r'<meta property="csp-nonce" content="([\w-]{22})">', page.text)
    return found


async def test_the_page_needs_no_token_and_is_html(page):
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-request-id"]
    assert page.text.startswith("<!doctype html>")


async def test_a_trailing_slash_makes_no_difference(http, page):
    again = await http.get("/docs/")
    assert again.text.replace(nonce(again), "") == page.text.replace(nonce(page), "")


async def test_the_policy_of_the_documentation_page_allows_only_its_own_files(page):
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["style-src"] == f"'self' 'nonce-{nonce(page)}'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert not re.search(r"https?:|\*|'unsafe-eval'", page.headers["content-security-policy"])
    assert page.headers["content-security-policy"].count("unsafe-inline") == 1, "for style attributes alone"


async def test_each_answer_has_a_nonce_of_its_own_and_is_kept_nowhere(http, page):
    assert nonce(page) != nonce(await http.get("/docs"))
    assert page.headers["cache-control"] == "no-store"


async def test_the_documentation_page_names_no_other_host_and_has_no_inline_script(page, loaded):
    assert "//" not in page.text
    assert loaded.inline == []
    assert {address.split("/")[1] for address in loaded.addresses} == {"docs"}


async def test_in_production_it_has_no_demo_token_and_leads_to_no_page_of_development(page, loaded):
    assert "session" not in page.text
    assert loaded.links == ["/docs", "/openapi.json", "/openapi.json"]


async def test_everything_it_loads_is_there_with_the_right_media_type_and_may_be_kept(http, loaded):
    assert len(loaded.addresses) == 4
    for address in loaded.addresses:
        response = await http.get(address)
        assert response.status_code == 200, address
        assert response.headers["content-type"] == MEDIA_TYPES[Path(address).suffix]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        stem, digest, _ = Path(address).name.split(".")
        (stored,) = PAGE.glob(f"{stem}{Path(address).suffix}*")
        assert digest == hashlib.sha256(stored.read_bytes()).hexdigest()[:12], "a new file has a new name"


@pytest.mark.parametrize("sent", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000"])
async def test_a_client_that_does_not_take_gzip_gets_the_same_file_without_it(http, loaded, sent):
    (script,) = (address for address in loaded.addresses if "scalar" in address)
    for path in (script, "/openapi.json"):
        packed = await http.get(path, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})
        assert packed.headers["content-encoding"] == "gzip"
        plain = await http.get(path, headers={"Accept-Encoding": sent})
        assert "content-encoding" not in plain.headers
        assert plain.content == packed.content, "httpx unpacks it"
        for answer in (plain, packed):
            assert "Accept-Encoding" in answer.headers["vary"]


@pytest.mark.parametrize("sent", ["gzip", "GZIP", "x-gzip", "br, gzip", "gzip;q=0.5", "gzip ; q=1.0, br;q=0"])
def test_gzip_is_found_in_any_form_of_the_header(sent):
    assert takes_gzip(sent)


@pytest.mark.parametrize("sent", ["", "br", "gzip;q=0", "gzip;q=0.0, br", "gzip;\tq=0", "gzipped", "*"])
def test_gzip_is_not_sent_where_it_is_not_named_or_refused(sent):
    assert not takes_gzip(sent)


async def test_the_documentation_page_loads_our_document_and_disables_requests_to_other_servers(http, loaded):
    (address,) = (address for address in loaded.addresses if address.endswith(".mjs"))
    script = (await http.get(address)).text
    assert 'fetch("/openapi.json")' in script
    for setting in (
        "withDefaultFonts: false", "telemetry: false", "agent: { disabled: true }", "mcp: { disabled: true }",
        "hideClientButton: true", 'showDeveloperTools: "never"',
    ):  # fmt: skip
        assert setting in script
    assert not re.search(r"https?://", script)


def test_the_script_is_the_file_that_its_note_names():
    """An update must record the new size and digest, so that they can be compared with those of the package."""
    note = (PAGE / "README.md").read_text()
    script = gzip.decompress((PAGE / "scalar.js.gz").read_bytes())
    assert f"{len(script):,} bytes" in note
    assert hashlib.sha256(script).hexdigest() in note
    version = re.search(r"`@scalar/api-reference` (\d+\.\d+\.\d+) ", note)[1]
    assert f"version={version}\n" in note
    assert "MIT License" in (PAGE / "LICENSE-scalar").read_text()


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fsecret", "scalar.js", "page.css", "%00", "..%2F__init__.py"])
async def test_a_file_that_is_not_the_pages_own_is_not_found(http, name):
    response = await http.get(f"/docs/{name}")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


async def test_the_page_responds_to_head_and_options_and_refuses_other_methods(http):
    head = await http.head("/docs")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-security-policy"]
    assert (await http.options("/docs")).status_code == 204
    refused = await http.post("/docs")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS"
