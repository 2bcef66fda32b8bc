"""The playground in a real browser: two tabs with one list, online and offline, and a user who resolves conflicts."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import httpx
import pytest

from tests.end_to_end.chromium import PROGRAM, Tab
from tests.end_to_end.development import Service

MARKUP = '<img src=x onerror="document.title=1"><b>Water</b> the plants &amp; more'
# Chromium itself reports every response of 400 and more. A conflict causes 404 and 412; 409 is the response to a
# write that a reloaded page repeats while the first attempt still runs.
REFUSED = re.compile(
    r"the server responded with a status of ((404|412) .*/api/me/(tasks|trash)/\d+(/restore)?|409 .*/api/me/tasks)$"
)

in_a_browser = pytest.mark.skipif(
    not PROGRAM, reason="LOUD: Chromium is not installed, so the playground is NOT tested in a browser"
)


@pytest.fixture(scope="module")
async def database(make_database) -> str:
    return await make_database("playground")


@pytest.fixture(scope="module")
async def playground(database, tmp_path_factory, starter, unused_port) -> AsyncIterator[Service]:
    folder, port = tmp_path_factory.mktemp("playground"), str(unused_port())
    service = Service(folder, starter, DATABASE_URL=database, PORT=port, RATE_LIMIT="off")
    await service.start()
    yield service
    service.process.kill()
    assert service.process.stderr == ""


@pytest.fixture
async def http(playground) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=playground.address.removesuffix("/playground"), verify=False) as client:
        yield client


class Page:
    """A tab with the playground, with the actions of its user."""

    def __init__(self, tab: Tab, eventually: Callable[..., Awaitable[object]]):
        self.tab, self._eventually = tab, eventually

    async def until(self, script: str) -> None:
        async def holds() -> bool:
            return bool(await self.tab.run(script))

        try:
            await self._eventually(holds, 60)
        except AssertionError:
            seen = await self.tab.run("document.body.innerText")
            pytest.fail(f"never came true: {script}\n{self.tab.complaints}\n{seen}", pytrace=False)

    async def shows(self, *titles: str, conflicts: int = 0, waiting: int = 0) -> None:
        """Wait until the rows have these titles, so many conflicts and so many pending writes."""
        await self.until(
            "JSON.stringify([[...document.querySelectorAll('.row .title')].map(title => title.textContent),"
            " document.querySelectorAll('.row[data-state=conflict]').length,"
            " Number(document.getElementById('board')?.dataset.waiting)])"
            f" === JSON.stringify({json.dumps([titles, conflicts, waiting])})"
        )

    async def is_(self, state: str) -> None:
        await self.until(f"document.body?.dataset.state === '{state}'")

    async def in_row(self, title: str, what: str) -> None:
        """Perform an action on the first row with this title."""
        row = "[...document.querySelectorAll('.row')].find(row => row.task.title === " + json.dumps(title) + ")"
        await self.tab.run(f"{row}.querySelector('{what}').click()")

    async def add(self, title: str) -> None:
        await self.tab.run("document.getElementById('title').focus()")
        await self.tab.type(title)
        await self.tab.press("Enter")

    async def rename(self, title: str, to: str) -> None:
        await self.in_row(title, ".title")
        await self.tab.type(to)
        await self.tab.press("Enter")

    async def switch(self) -> None:
        """Go offline or online."""
        await self.tab.run("document.getElementById('offline').click()")

    async def choose(self, choice: str) -> None:
        await self.tab.run(f"document.querySelector('[data-state=conflict] [data-choice={choice}]').click()")

    async def logs(self, part: str, text: str, times: int) -> None:
        """Wait until so many lines of the log have this `text` as their method, path or status."""
        await self.until(
            f"[...document.querySelectorAll('.entry:not([data-kind=event]) .{part}')]"
            f".filter(one => one.textContent === {json.dumps(text)}).length === {times}"
        )

    async def log(self) -> list[list[str]]:
        """Return method, path, status and detail of each request, oldest first, without events."""
        lines = await self.tab.run(
            "[...document.querySelectorAll('.entry:not([data-kind=event])')].reverse().map(line =>"
            " ['method', 'path', 'status', 'detail'].map(part => line.querySelector('.' + part).textContent))"
        )
        return list(lines)


@pytest.fixture
async def visit(browser, eventually) -> AsyncIterator[Callable[[str], Awaitable[Page]]]:
    """`await visit(address)` opens a tab and waits until it is live. At the end, no console may have complained."""
    pages: list[Page] = []

    async with browser.profile() as profile:

        async def open_page(address: str) -> Page:
            pages.append(Page(await browser.open(address, profile), eventually))
            await pages[-1].is_("live")
            return pages[-1]

        yield open_page
        for page in pages:
            await page.tab.close()
    assert [one for page in pages for one in page.tab.complaints if not REFUSED.search(one)] == []


@pytest.fixture
async def tabs(visit, playground, database) -> tuple[Page, Page]:
    """Two live tabs with an empty list."""
    owner = await asyncpg.connect(database)
    await owner.execute("DELETE FROM users")
    await owner.close()
    return await visit(playground.address), await visit(playground.address)


@in_a_browser
async def test_a_change_in_one_tab_appears_in_the_other_without_a_reload(tabs):
    here, there = tabs
    await there.tab.run("window.untouched = true")
    await here.add("Buy milk")
    await here.add("Feed the cat")
    await there.shows("Feed the cat", "Buy milk")
    await there.rename("Buy milk", "Buy oat milk")
    await here.shows("Feed the cat", "Buy oat milk")
    await here.in_row("Feed the cat", ".done")
    await there.shows("Buy oat milk", "Feed the cat")  # completed tasks move down
    await there.in_row("Feed the cat", ".delete")
    for page in tabs:
        await page.shows("Buy oat milk")
    assert await there.tab.run("window.untouched")


@in_a_browser
async def test_a_title_is_text_and_nothing_else(tabs, http):
    here, there = tabs
    await here.add(MARKUP)
    for page in tabs:
        await page.shows(MARKUP)
        assert await page.tab.run("document.querySelector('.row :is(img, b:not(.option > b))')") is None
    await there.rename(MARKUP, f"{MARKUP}!")
    await here.shows(f"{MARKUP}!")
    assert await here.tab.run("document.title") == "1 open · Doable"


@in_a_browser
async def test_writes_send_an_expected_version_or_an_idempotency_key(tabs):
    here, _ = tabs
    await here.add("Buy milk")
    await here.shows("Buy milk")
    await here.rename("Buy milk", "Buy oat milk")
    await here.shows("Buy oat milk")
    await here.in_row("Buy oat milk", ".delete")
    await here.shows()
    await here.until("document.querySelector('.entry[data-kind=event] .detail').textContent.includes('deleted')")
    log = await here.log()
    assert [line[:3] for line in log[:3]] == [
        ["GET", "/playground/session", "200"], ["GET", "/tasks/changes?since=0", "200"], ["GET", "/tasks/events", "200"]
    ]  # fmt: skip
    created, changed, deleted = log[3:]
    assert (created[0], created[2], changed[0], changed[2], deleted[0], deleted[2]) == (
        "POST", "201", "PATCH", "200", "DELETE", "204"
    )  # fmt: skip
    assert (made := re.fullmatch(r'Idempotency-Key: \w{8}… → ETag: "1\.([0-9a-f]{8})"', created[3]))
    assert changed[3] == f'If-Match: "1" → ETag: "2.{made[1]}"'
    assert deleted[3] == 'If-Match: "2"'


@in_a_browser
async def test_offline_changes_are_sent_later_and_the_user_is_asked_only_about_conflicts(tabs):
    here, there = tabs
    for title in ("Clash", "Side by side", "Deleted here", "Alike"):
        await here.add(title)
    await there.shows("Alike", "Deleted here", "Side by side", "Clash")
    await here.shows("Alike", "Deleted here", "Side by side", "Clash")

    await here.switch()
    await here.is_("offline")
    await here.rename("Clash", "Clash, mine")
    await here.in_row("Side by side", ".done")
    await here.in_row("Deleted here", ".delete")
    await here.rename("Alike", "Alike in both")
    await here.add("Made offline")
    await here.rename("Made offline", "Made and changed offline")
    offline = ("Made and changed offline", "Alike in both", "Clash, mine", "Side by side")
    await here.shows(*offline, waiting=5)
    await there.rename("Clash", "Clash, theirs")
    await there.rename("Side by side", "Side by side, renamed")
    await there.rename("Alike", "Alike in both")
    await there.shows("Alike in both", "Deleted here", "Side by side, renamed", "Clash, theirs")

    await here.switch()
    await here.shows(
        "Made and changed offline", "Alike in both", "Clash, mine", "Side by side, renamed", conflicts=1
    )  # fmt: skip
    await here.until("document.querySelector('.toast[data-kind=conflict]').textContent.includes('Clash, mine')")
    await there.shows("Made and changed offline", "Alike in both", "Clash, theirs", "Side by side, renamed")
    await here.logs("status", "412", 3)

    await here.choose("mine")
    for page in tabs:
        await page.shows("Made and changed offline", "Alike in both", "Clash, mine", "Side by side, renamed")
    await here.until("!document.querySelector('.toast')")


@in_a_browser
async def test_a_conflict_can_be_resolved_with_the_other_version_or_a_restored_task(tabs):
    here, there = tabs
    for title in ("Let go", "Bring back", "Take theirs"):
        await here.add(title)
    for page in tabs:
        await page.shows("Take theirs", "Bring back", "Let go")
    await here.switch()
    for title in ("Let go", "Bring back", "Take theirs"):
        await here.rename(title, f"{title}, mine")
    await there.rename("Take theirs", "Take theirs, theirs")
    await there.in_row("Bring back", ".delete")
    await there.in_row("Let go", ".delete")
    await there.shows("Take theirs, theirs")

    await here.switch()
    await here.shows("Take theirs, mine", "Bring back, mine", "Let go, mine", conflicts=3)
    await here.choose("theirs")
    await here.shows("Take theirs, theirs", "Bring back, mine", "Let go, mine", conflicts=2)
    await here.choose("mine")
    await here.shows("Take theirs, theirs", "Bring back, mine", "Let go, mine", conflicts=1)
    await here.choose("theirs")
    for page in tabs:
        await page.shows("Take theirs, theirs", "Bring back, mine")


@in_a_browser
async def test_after_a_reset_all_tasks_are_read_and_a_destroyed_one_can_be_created_again(tabs, http):
    here, there = tabs
    for title in ("Destroyed", "Stays"):
        await here.add(title)
    for page in tabs:
        await page.shows("Stays", "Destroyed")
    await here.switch()
    await here.rename("Destroyed", "Destroyed, mine")
    await there.in_row("Destroyed", ".delete")
    await there.shows("Stays")
    granted = await http.get("/playground/session", headers={"Sec-Fetch-Site": "same-origin"})
    owner = {"Authorization": f"Bearer {granted.json()['token']}"}
    assert (await http.delete("/api/me/trash", headers=owner)).json() == {"deleted": 1}

    await here.switch()
    await here.shows("Stays", "Destroyed, mine", conflicts=1)
    await here.logs("path", "/tasks/changes?since=0", 2)
    await here.is_("live")
    await here.choose("mine")
    for page in tabs:
        await page.shows("Destroyed, mine", "Stays")


@in_a_browser
async def test_a_title_that_changes_during_an_edit_is_a_conflict_too(tabs):
    here, there = tabs
    await here.add("Buy milk")
    await there.shows("Buy milk")
    await here.in_row("Buy milk", ".title")
    await there.rename("Buy milk", "Buy soy milk")
    await here.until("document.querySelector('.row .title').textContent === 'Buy soy milk'")
    await here.tab.type("Buy oat milk")
    await here.tab.press("Enter")
    await here.shows("Buy oat milk", conflicts=1)
    await here.choose("theirs")
    for page in tabs:
        await page.shows("Buy soy milk")


@in_a_browser
async def test_pending_changes_survive_a_reload_and_a_closed_tab(tabs, visit, playground):
    here, _ = tabs
    await here.switch()
    await here.add("Before the reload")
    await here.shows("Before the reload", waiting=1)
    await here.tab.call("Page.reload")
    for page in tabs:
        await page.shows("Before the reload")
    await here.is_("live")

    third = await visit(playground.address)
    await third.switch()
    await third.add("Before it was closed")
    await third.shows("Before it was closed", "Before the reload", waiting=1)
    await third.tab.close()
    for page in tabs:
        await page.shows("Before it was closed", "Before the reload")


@in_a_browser
async def test_a_list_that_is_compared_again_unchanged_is_a_304(tabs):
    here, there = tabs
    await there.add("Buy milk")
    await here.shows("Buy milk")
    for said in ("200: 1 task, the same as here.", "304: the list has not changed since you last compared."):
        await here.tab.run("document.getElementById('compare').click()")
        await here.until(f"document.querySelector('#toasts').textContent.includes({json.dumps(said)})")
    assert [line[2] for line in await here.log()][-2:] == ["200", "304"]


@in_a_browser
async def test_the_page_can_be_used_with_the_keyboard_alone(tabs):
    here, there = tabs
    for title in ("Third", "Second", "First"):
        await here.add(title)
    await there.shows("First", "Second", "Third")
    focus = "document.activeElement.closest('.row')?.task.title"
    await there.tab.run("document.querySelector('.row .title').focus()")
    await there.tab.press("F2")
    await there.tab.type("Not this")
    await there.tab.press("Escape")
    await there.shows("First", "Second", "Third")
    assert await there.tab.run(focus) == "First", "where it was"
    await there.tab.press("Enter")
    await there.tab.type("The very first")
    await there.tab.press("Enter")
    await here.shows("The very first", "Second", "Third")
    assert await there.tab.run(focus) == "The very first"
    await there.tab.press("Delete")
    await here.shows("Second", "Third")
    assert await there.tab.run(focus) == "Second", "where one goes on"


@in_a_browser
async def test_the_page_reconnects_to_a_service_that_returns_and_refuses_the_old_token(tabs, playground):
    here, _ = tabs
    await playground.stop()
    await here.is_("reconnecting")
    await here.add("Meanwhile")
    await here.until("document.querySelector('.row').dataset.state !== 'saved'")
    (playground.folder / ".data" / "secret").unlink()
    await playground.start()
    for page in tabs:
        await page.is_("live")
        await page.shows("Meanwhile")
        sessions = [line[2] for line in await page.log() if line[1] == "/playground/session"]
        assert len(sessions) > 1, "the old token was not kept"
        assert set(sessions) == {"200"}
        # The browser's own messages. An interrupted stream is not one of them, because it has a proper end.
        assert all(re.search("ERR_CONNECTION_REFUSED|status of 401", one) for one in page.tab.complaints)
        page.tab.complaints.clear()


async def test_the_page_may_run_only_its_own_script_and_is_never_cached(http):
    page = await http.get("/playground")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert re.fullmatch(r"'sha256-[\w+/=]{44}'", policy["style-src"])
    assert policy["require-trusted-types-for"] == "'script'"
    script = await http.get("/playground/live.mjs")
    assert (script.status_code, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    for answer in (page, script):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "innerHTML" not in answer.text
        assert not re.search(r"eyJ|https?://(?!(www\.w3|html\.spec\.whatwg)\.org)", answer.text)


async def test_only_the_page_gets_a_token_and_no_log_contains_it(http, playground):
    asked = {"Sec-Fetch-Site": "same-origin"}
    granted = await http.get("/playground/session", headers=asked)
    assert granted.status_code == 200
    assert granted.headers["cache-control"] == "no-store"
    assert granted.json()["user"] == "demo"
    token = granted.json()["token"]
    mine = await http.get("/api/demo/tasks", headers={"Authorization": f"Bearer {token}"})
    assert mine.status_code == 200
    assert token not in playground.process.stdout

    for headers in (
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {**asked, "Origin": "http://localhost:3000"},
        {**asked, "Origin": "null"},
    ):
        refused = await http.get("/playground/session", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found"), headers


@pytest.mark.parametrize("path", ["/playground", "/playground/live.mjs", "/playground/session"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "doable.example"},
        {"Host": "localhost.doable.example"},
        {"Host": "127.0.0.1.nip.example:8000"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 tunnel"},
        {"X-Forwarded-Proto": "https"},
        {"CF-Connecting-IP": "203.0.113.9"},
    ],
    ids=str,
)
async def test_requests_by_another_name_or_through_a_tunnel_are_404(http, path, headers):
    refused = await http.get(path, headers={"Sec-Fetch-Site": "same-origin", **headers})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_a_host_that_hides_another_one_is_a_bad_request(http):
    refused = await http.get("/playground/session", headers={"Host": "localhost:8000@doable.example"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize("name", ["index.html", "README.md", "..%2FREADME.md", "nothing"])
async def test_no_other_file_is_served(http, name):
    assert (await http.get(f"/playground/{name}")).status_code == 404
