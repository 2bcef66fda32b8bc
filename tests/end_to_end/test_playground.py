"""The playground in a real browser: tabs that share a copy, a second device, conflicts, order, repetition and undo."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from tests.end_to_end.chromium import PROGRAM, Tab
from tests.end_to_end.development import Service

MARKUP = '<img src=x onerror="document.title=1"><b>Water</b> the plants &amp; more'
FOREIGN = "[...document.querySelectorAll('.row .title *, .facts :not(span), .toast .text *')].length"

in_a_browser = pytest.mark.skipif(
    not PROGRAM, reason="LOUD: Chromium is not installed, so the playground is NOT tested in a browser"
)


@pytest.fixture(scope="module")
async def playground(make_database, tmp_path_factory, starter, unused_port) -> AsyncIterator[Service]:
    folder, port = tmp_path_factory.mktemp("playground"), str(unused_port())
    service = Service(folder, starter, DATABASE_URL=await make_database("playground"), PORT=port, RATE_LIMIT="off")
    await service.start()
    yield service
    service.process.kill()
    assert service.process.stderr == ""


@pytest.fixture
async def http(playground) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=playground.address.removesuffix("/playground"), verify=False) as client:
        yield client


def row(title: str) -> str:
    """Return the script that finds the first row with this title."""
    return f"[...document.querySelectorAll('.row')].find(row => row.task.title === {json.dumps(title)})"


class Page:
    """A tab with the playground, with the actions of its user."""

    def __init__(self, tab: Tab, eventually: Callable[..., Awaitable[object]]):
        self.tab, self._eventually = tab, eventually

    async def until(self, script: str) -> None:
        async def holds() -> object:  # a page that is loading has no body yet
            return await self.tab.run(f"(() => {{ try {{ return Boolean({script}); }} catch {{ return false; }} }})()")

        try:
            await self._eventually(holds, 60)
        except AssertionError:
            seen = await self.tab.run("document.body?.innerText")
            pytest.fail(f"never came true: {script}\n{self.tab.complaints}\n{seen}", pytrace=False)

    async def shows(self, *titles: str, conflicts: int = 0, pending: int = 0) -> None:
        """Wait until the rows have these titles, so many conflicts and so many pending changes."""
        await self.until(
            "JSON.stringify([[...document.querySelectorAll('.row .title')].map(title => title.textContent),"
            " document.querySelectorAll('.row[data-state=conflict]').length, Number(document.body.dataset.pending)])"
            f" === JSON.stringify({json.dumps([titles, conflicts, pending])})"
        )

    async def is_(self, state: str) -> None:
        await self.until(f"document.body?.dataset.state === '{state}'")

    async def in_row(self, title: str, what: str) -> None:
        """Perform an action on the first row with this title."""
        await self.tab.run(
            f"{row(title)}.querySelector('.{what}')" + (".click()" if "grip" not in what else ".focus()")
        )

    async def add(self, title: str) -> None:
        await self.tab.run("document.getElementById('title').focus()")
        await self.tab.type(title)
        await self.tab.press("Enter")

    async def rename(self, title: str, to: str) -> None:
        await self.in_row(title, "title")
        await self.tab.type(to)
        await self.tab.press("Enter")

    async def set(self, title: str, field: str, value: str) -> None:
        """Set a field of the details of the row."""
        await self.tab.run(
            f"(() => {{ const row = {row(title)}; const details = row.querySelector('.details');"
            " if (details.hidden) row.querySelector('.more').click();"
            f" const field = details.elements.{field}; field.value = {json.dumps(value)};"
            " field.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    async def says(self, title: str, *facts: str) -> None:
        """Wait until the row shows these facts below its title."""
        await self.until(
            f"JSON.stringify([...{row(title)}?.querySelectorAll('.facts > *') ?? []].map(one => one.textContent))"
            f" === JSON.stringify({json.dumps(facts)})"
        )

    async def switch(self) -> None:
        """Go offline or online."""
        await self.tab.run("document.getElementById('offline').click()")

    async def choose(self, choice: str) -> None:
        await self.tab.run(f"document.querySelector('[data-state=conflict] [data-choice={choice}]').click()")

    async def undo(self) -> None:
        await self.tab.run("[...document.querySelectorAll('.toast .action')].at(-1).click()")

    async def leads(self) -> bool:
        """Return whether the page says that this tab has the stream."""
        return await self.tab.run("document.body.dataset.leads") == "true"

    def streams(self) -> int:
        """Return how many event streams this tab has opened."""
        return sum(one.url.endswith("/events") for one in self.tab.requests)


@pytest.fixture(scope="module")
async def visit(browser, eventually, playground) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """`await visit()` opens a tab and waits until it is live. At the end, no console may have complained."""
    pages: list[Page] = []

    async with browser.profile() as profile:

        async def open_page(query: str = "") -> Page:
            pages.append(Page(await browser.open(playground.address + query, profile), eventually))
            await pages[-1].is_("live")
            return pages[-1]

        yield open_page
        for page in pages:
            await page.tab.close()
    assert [one for page in pages for one in page.tab.complaints] == []


@pytest.fixture(scope="module")
async def opened(visit) -> tuple[Page, Page, Page]:
    """Two tabs of one device, and a second device."""
    return await visit(), await visit(), await visit("?device=2")


@pytest.fixture
async def tabs(opened, request) -> tuple[Page, Page, Page]:
    """The tabs, with a new list that is empty."""
    first, *others = opened
    name = request.node.name[-40:]
    await first.tab.run("document.getElementById('list-name').focus()")
    await first.tab.type(name)
    await first.tab.press("Enter")
    await first.until("location.hash.length > 1")
    list_now = await first.tab.run("location.hash")
    for page in others:
        await page.until(f"document.querySelector('#lists a[href=\"{list_now}\"]')")
        await page.tab.run(f"location.hash = '{list_now}'")
    for page in opened:
        await page.until(f"document.querySelector('#lists [aria-current] .name').textContent === {json.dumps(name)}")
        await page.shows()
    return opened


@in_a_browser
async def test_tabs_and_devices_stay_in_sync_and_tabs_share_one_stream(tabs):
    here, there, device = tabs
    for page in tabs:
        await page.tab.run("window.untouched = true")
    await here.add("Buy milk")
    await here.add(MARKUP)
    for page in tabs:
        await page.shows(MARKUP, "Buy milk")
    await there.rename(MARKUP, f"{MARKUP}!")
    await device.rename("Buy milk", "Buy oat milk")
    for page in tabs:
        await page.shows(f"{MARKUP}!", "Buy oat milk")
    await here.in_row(f"{MARKUP}!", "check")
    for page in tabs:
        await page.shows("Buy oat milk", f"{MARKUP}!")  # completed tasks move down
        assert await page.tab.run(FOREIGN) == 0, "a title is text and nothing else"
        assert await page.tab.run("window.untouched")
    assert (here.streams(), there.streams(), device.streams()) == (1, 0, 1)
    for page, where in ((here, "this"), (there, "another"), (device, "this")):
        assert await page.tab.run("document.getElementById('stream').textContent") == f"One stream, in {where} tab"


@in_a_browser
async def test_a_deleted_task_and_its_subtasks_come_back_with_undo(tabs):
    here, there, _ = tabs
    await here.add("Plan the party")
    await here.in_row("Plan the party", "more")
    await here.tab.run("document.querySelector('.details').elements.subtask.focus()")
    for title in ("Invite friends", "Buy lemonade"):
        await here.tab.type(title)
        await here.tab.press("Enter")
    for page in tabs:
        await page.shows("Plan the party", "Invite friends", "Buy lemonade")
    await there.tab.run("document.querySelector('.row .title').focus()")
    await there.tab.press("Delete")
    await here.shows()
    assert await there.tab.run("document.querySelector('.toast .text').textContent") == "Deleted “Plan the party”."
    await there.undo()
    for page in tabs:
        await page.shows("Plan the party", "Invite friends", "Buy lemonade")


@in_a_browser
async def test_offline_changes_are_kept_over_a_reload_and_sent_later(tabs):
    here, there, device = tabs
    await here.add("Side by side")
    await device.shows("Side by side")
    await there.switch()
    for page in (here, there):
        await page.is_("offline")
    await here.add("Made offline")
    await here.rename("Side by side", "Renamed offline")
    for page in (here, there):
        await page.shows("Made offline", "Renamed offline", pending=2)
    await device.set("Side by side", "priority", "high")
    await device.says("Side by side", "high")
    await here.tab.call("Page.reload")
    await here.shows("Made offline", "Renamed offline", pending=2)
    await here.switch()
    for page in tabs:
        await page.shows("Made offline", "Renamed offline")
        await page.says("Renamed offline", "high")
        await page.is_("live")


@in_a_browser
async def test_a_conflict_is_shown_in_all_tabs_and_decided_in_any(tabs):
    here, there, device = tabs
    for title in ("Take theirs", "Keep mine"):
        await here.add(title)
    await device.shows("Keep mine", "Take theirs")
    await here.switch()
    for page, whose in ((here, "mine"), (device, "theirs")):
        await page.rename("Keep mine", f"Keep mine, {whose}")
        await page.rename("Take theirs", f"Take theirs, {whose}")
    await device.shows("Keep mine, theirs", "Take theirs, theirs")
    await here.switch()
    for page in (here, there):
        await page.shows("Keep mine, mine", "Take theirs, mine", conflicts=2, pending=2)
    await there.choose("mine")
    await here.shows("Keep mine, mine", "Take theirs, mine", conflicts=1, pending=1)
    await here.choose("theirs")
    for page in tabs:
        await page.shows("Keep mine, mine", "Take theirs, theirs")


@in_a_browser
async def test_tasks_are_moved_with_the_keyboard_and_the_mouse_and_stay_there(tabs):
    here, there, _ = tabs
    for title in ("Third", "Second", "First"):
        await here.add(title)
    await here.shows("First", "Second", "Third")
    await here.in_row("First", "grip")
    await here.tab.press("ArrowDown")
    for page in tabs:
        await page.shows("Second", "First", "Third")
    assert await here.tab.run("document.activeElement.ariaLabel") == "Move: First"
    assert re.match("“First” is 2 of 3 in ", await here.tab.run("document.getElementById('spoken').textContent"))
    points = (
        "[...document.querySelectorAll('.grip')].map(one => one.getBoundingClientRect()).map(r => [r.x + 9, r.y + 9])"
    )
    second, first, _third = await here.tab.run(points)
    await here.tab.drag(
        second, (first[0] + 80, first[1]), (first[0] + 80, first[1] + 14)
    )  # to the lower part of the row
    for page in tabs:
        await page.shows("First", "Second", "Third")
    await here.tab.press("ArrowRight")  # the handle still has the focus
    for page in tabs:
        await page.until("document.querySelector('.subtasks .title')?.textContent === 'Second'")
    await there.tab.call("Page.reload")
    await there.shows("First", "Second", "Third")
    await there.until("document.querySelector('.subtasks .title')?.textContent === 'Second'")


@in_a_browser
async def test_a_completed_task_that_repeats_is_followed_by_the_next_one(tabs):
    here, _, device = tabs
    await here.add("Water the plants")
    await here.set("Water the plants", "due", "2090-01-31")
    await here.set("Water the plants", "repeat", "schedule FREQ=MONTHLY")
    await here.set("Water the plants", "tags", "home, balcony, home")
    for page in tabs:
        await page.says("Water the plants", "31 Jan 2090", "every month, next 28 Feb 2090", "home", "balcony")
    await here.until("!document.querySelector('.details').elements.skip.hidden")
    await here.tab.run("document.querySelector('.details').elements.skip.click()")
    for page in tabs:
        await page.says("Water the plants", "28 Feb 2090", "every month, next 31 Mar 2090", "home", "balcony")
    await device.in_row("Water the plants", "check")
    for page in tabs:
        await page.shows("Water the plants", "Water the plants")
        await page.says("Water the plants", "31 Mar 2090", "every month, next 30 Apr 2090", "home", "balcony")
    await device.undo()
    for page in tabs:
        await page.shows("Water the plants")
        await page.says("Water the plants", "28 Feb 2090", "every month, next 31 Mar 2090", "home", "balcony")


@in_a_browser
@pytest.mark.trial
async def test_ten_tabs_work_at_once_with_one_stream_that_moves_to_another_tab(tabs, visit, playground):
    here, there, _ = tabs
    list_now = await here.tab.run("location.hash")
    more = [await visit(list_now) for _ in range(8)]
    await more[-1].add("From the tenth tab")
    for page in (here, there, *more):
        await page.shows("From the tenth tab")
    leads = [await page.leads() for page in (here, there, *more)]
    assert sorted(leads) == [False] * 9 + [True]
    leader = (here, there, *more)[leads.index(True)]
    others = [page for page in (here, there, *more) if page is not leader]
    await leader.tab.call("Page.navigate", url="about:blank")
    await others[0].add("After it has gone")
    for page in others:
        await page.shows("After it has gone", "From the tenth tab")
        await page.is_("live")
    assert sorted([await page.leads() for page in others]) == [False] * 8 + [True]
    await leader.tab.call("Page.navigate", url=f"{playground.address}{list_now}")
    await leader.shows("After it has gone", "From the tenth tab")
    for page in more:
        await page.tab.close()


@in_a_browser
@pytest.mark.trial
async def test_a_task_that_was_deleted_elsewhere_can_be_brought_back_with_the_change(tabs):
    here, _, device = tabs
    await here.add("Gone")
    await device.shows("Gone")
    await here.switch()
    await here.rename("Gone", "Changed")
    await device.in_row("Gone", "delete")
    await device.shows()
    await here.switch()
    await here.until("document.querySelector('.toast.bad')")
    await here.undo()
    for page in tabs:
        await page.shows("Changed")


@in_a_browser
@pytest.mark.trial
async def test_a_title_that_changes_during_an_edit_is_a_conflict_too(tabs):
    here, _, device = tabs
    await here.add("Buy milk")
    await device.shows("Buy milk")
    await here.in_row("Buy milk", "title")
    await device.rename("Buy milk", "Buy soy milk")
    await here.until("document.querySelector('.row .title').textContent === 'Buy soy milk'")
    await here.tab.type("Buy oat milk")
    await here.tab.press("Enter")
    await here.shows("Buy soy milk", conflicts=1)
    await here.choose("mine")
    for page in tabs:
        await page.shows("Buy oat milk")


@in_a_browser
@pytest.mark.trial
async def test_another_user_sees_none_of_the_tasks(tabs, visit):
    await tabs[0].add("Mine alone")
    guest = await visit("?user=guest")
    await guest.shows()
    assert await guest.tab.run("document.querySelectorAll('#lists a').length") == 1
    assert await guest.tab.run("document.getElementById('user').search") == "?user=demo"
    await guest.tab.close()


@in_a_browser
@pytest.mark.trial
async def test_the_page_reconnects_to_a_service_that_returns_and_refuses_the_old_token(tabs, playground):
    here, there, _ = tabs
    await playground.stop()
    await here.is_("reconnecting")
    await here.add("Meanwhile")
    await there.shows("Meanwhile", pending=1)
    (playground.folder / ".data" / "secret").unlink()
    await playground.start()
    for page in tabs:
        await page.is_("live")
        await page.shows("Meanwhile")
        # The browser's own messages. An interrupted stream is not one of them, because it has a proper end.
        assert all(re.search("ERR_CONNECTION_REFUSED|status of 401", one) for one in page.tab.complaints)
        page.tab.complaints.clear()


async def test_the_page_may_run_only_its_own_modules_and_is_never_cached(http):
    page = await http.get("/playground")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert re.fullmatch(r"'sha256-[\w+/=]{44}'", policy["style-src"])
    assert policy["require-trusted-types-for"] == "'script'"
    modules = [
        await http.get(f"/playground/{name}") for name in ("live.mjs", "client/index.js", "client/replica/tabs.js")
    ]
    for answer in modules:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    for answer in (page, *modules):
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
    guest = await http.get("/playground/session?user=guest", headers=asked)
    assert (guest.status_code, guest.json()["user"]) == (200, "guest")
    for user in ("alice", "demo%00", "Demo"):
        unknown = await http.get(f"/playground/session?user={user}", headers=asked)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found"), user

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


async def test_requests_by_another_name_or_through_a_tunnel_are_404(http, subtests):
    for path in ["/playground", "/playground/client/index.js", "/playground/session"]:
        for headers in [
            {"Host": "doable.example"},
            {"Host": "localhost.doable.example"},
            {"Host": "127.0.0.1.nip.example:8000"},
            {"X-Forwarded-For": "203.0.113.9"},
            {"Forwarded": "for=203.0.113.9"},
            {"Via": "1.1 tunnel"},
            {"X-Forwarded-Proto": "https"},
            {"CF-Connecting-IP": "203.0.113.9"},
        ]:
            with subtests.test(path=path, headers=headers):
                refused = await http.get(path, headers={"Sec-Fetch-Site": "same-origin", **headers})
                assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_a_host_that_hides_another_one_is_a_bad_request(http):
    refused = await http.get("/playground/session", headers={"Host": "localhost:8000@doable.example"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")


async def test_no_other_file_is_served(http, subtests):
    for name in [
        "index.html",
        "README.md",
        "..%2FREADME.md",
        "nothing",
        "client/types/types.gen.ts",
        "client/..%2F..%2Fpackage.json",
        "client/%2e%2e/package.json",
        "client/replica/",
    ]:
        with subtests.test(name=name):
            assert (await http.get(f"/playground/{name}")).status_code == 404
