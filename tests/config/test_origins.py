"""Browser origins: settings and browsers' headers are read in the same way."""

from __future__ import annotations

import pytest

from service.config import Settings, origins
from service.config.origins import AllowList
from service.errors import ConfigurationError

REASON = "scheme://host|a port is|neither a domain name|'\\*'|'null'"
ANY_SCHEME = [
    "capacitor://localhost", "ionic://localhost", "tauri://localhost", "app://obsidian.md",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop", "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
    "vscode-webview://0abc", "http://tauri.localhost", "https://tauri.localhost",
]  # fmt: skip
SAME = [
    ("https://App.Example.com", "https://app.example.com"),
    ("HTTPS://app.example.com", "https://app.example.com"),
    ("https://app.example.com:443", "https://app.example.com"),
    ("https://app.example.com:0443", "https://app.example.com"),
    ("http://app.example.com:80", "http://app.example.com"),
    ("http://app.example.com:443", "http://app.example.com:443"),
    ("https://app.example.com:8443", "https://app.example.com:8443"),
    ("capacitor://LocalHost", "capacitor://localhost"),
    ("capacitor://localhost:443", "capacitor://localhost:443"),
    ("https://müller.example", "https://xn--mller-kva.example"),
    ("https://MÜLLER.example", "https://xn--mller-kva.example"),
    ("https://straße.example", "https://xn--strae-oqa.example"),
    ("http://[0:0:0:0:0:0:0:1]:5173", "http://[::1]:5173"),
    ("http://[2001:DB8::1]", "http://[2001:db8::1]"),
    ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
    ("http://my_frontend:3000", "http://my_frontend:3000"),
]
NONE = [
    "", "app.example.com", "//app.example.com", "https://", "https:///", "https://app.example.com/path",
    "https://app.example.com?x", "https://app.example.com#x", "https://hans@app.example.com",
    "https://app.example.com:", "https://app.example.com:0", "https://app.example.com:65536", "https://app.example.com:x",
    "https://app..example.com", "https://app.example.com.", "https://-app.example.com", "https://app .example.com",
    "https://app.example.com\n", "https://app.example.com\x00", "https://[::1", "https://[::g]", "https://1.2.3.256",
    "https://1.2.3", "https://app.example.com\\evil.com", "https://%61pp.example.com", "http\u017f://app.example.com",
    "file://", "file://localhost", "data:text/html,x", "javascript:alert(1)", "blob:https://app.example.com",
    "https://a\u200b.example.com.", "https://xn--.example\u3002",
]  # fmt: skip


@pytest.mark.parametrize("origin", ANY_SCHEME)
def test_an_origin_may_have_any_scheme(origin):
    assert origins.normalise(origin) == origins.setting(origin) == origin
    assert AllowList([origin]).allows(origin)


@pytest.mark.parametrize(("written", "normal"), SAME)
def test_two_spellings_of_an_origin_are_equal_in_settings_and_headers(written, normal):
    assert origins.normalise(written) == origins.setting(written) == normal
    assert origins.normalise(normal) == normal
    assert AllowList([origins.setting(written)]).allows(normal)
    assert AllowList([normal]).allows(written)


@pytest.mark.parametrize("text", NONE)
def test_an_invalid_origin_is_refused_as_a_setting_and_never_matches(text):
    with pytest.raises(ValueError, match=REASON):
        origins.normalise(text)
    if text.strip():
        with pytest.raises(ValueError, match=REASON):
            origins.setting(text)
    assert not AllowList(["https://app.example.com"]).allows(text)


@pytest.mark.parametrize("text", ["https://app.example.com/", "null", "*", "https://*.example.com"])
def test_a_value_that_only_settings_may_have_is_not_an_origin_in_a_header(text):
    with pytest.raises(ValueError, match=REASON):
        origins.normalise(text)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("*", "every website"), ("null", "sandboxed frames"), ("NULL", "sandboxed frames"), ("file://x", "'null'"),
        ("app.example.com", "scheme://host"), ("https://app.example.com/path", "without a path"),
        ("https://app.example.com:99999", "a port is"), ("https://1.2.3.256", "neither a domain name"),
        ("https://*.*.example.com", "first label"), ("https://app.*.com", "first label"),
        ("https://**.example.com", "first label"), ("https://*", "first label"),
        ("chrome-extension://*", "first label"), ("capacitor://*.localhost", "first label"),
        ("https://*.com", "under com"), ("https://*.co.uk", "under co.uk"), ("https://my-*.co.uk", "under co.uk"),
        ("https://*.vercel.app", "under vercel.app"), ("https://*.netlify.app", "under netlify.app"),
        ("https://*.github.io", "under github.io"), ("https://*.pages.dev:443", "under pages.dev"),
    ],
)  # fmt: skip
def test_a_refused_entry_is_named_with_the_reason(entry, reason):
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environ({"CORS_ORIGINS": f"https://app.example.com, {entry} ,https://b.example.com"})
    assert f"entry '{entry}' is invalid: " in refused.value.detail
    assert reason in refused.value.detail


def test_a_password_in_an_entry_is_not_printed():
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environ({"CORS_ORIGINS": "https://hans:pass-word@app.example.com"})
    assert "pass-word" not in refused.value.detail
    assert "entry with a user is invalid" in refused.value.detail


@pytest.mark.parametrize(
    ("pattern", "allowed", "others"),
    [
        (
            "https://*.Example.com",
            ["https://a.example.com", "https://pr-12.example.com", "https://PR-12.example.com:443"],
            ["https://example.com", "https://.example.com", "https://a.b.example.com", "http://a.example.com",
             "https://a.example.com:8443", "https://a.example.com.evil.com", "https://aXexample.com",
             "https://evil.com/.example.com", "https://a.example.comx", "https://a%2eexample.com"],
        ),
        (
            "https://my-app-*-my-team.vercel.app",
            ["https://my-app-git-main-my-team.vercel.app", "https://my-app-1-my-team.vercel.app"],
            ["https://my-app--my-team.vercel.app.evil.com", "https://my-app-x.evil-my-team.vercel.app",
             "https://my-app-my-team.vercel.app", "https://evil.vercel.app"],
        ),
        ("http://*.localhost:3000", ["http://tenant.localhost:3000"], ["http://tenant.localhost", "http://localhost:3000"]),
        ("https://*.müller.example", ["https://a.xn--mller-kva.example"], ["https://a.muller.example"]),
    ],
)  # fmt: skip
def test_a_star_matches_only_a_part_of_one_label(pattern, allowed, others):
    allow_list = AllowList([origins.setting(pattern)])
    assert [origin for origin in allowed if not allow_list.allows(origin)] == []
    assert [origin for origin in others if allow_list.allows(origin)] == []


def test_one_trailing_slash_in_a_setting_is_ignored_and_two_are_refused():
    assert origins.setting("https://app.example.com/") == "https://app.example.com"
    with pytest.raises(ValueError, match=REASON):
        origins.setting("https://app.example.com//")


def test_an_overlong_origin_header_never_matches():
    assert not AllowList(["https://*.example.com"]).allows("https://" + "a" * 8000 + ".example.com")
