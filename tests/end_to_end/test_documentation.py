"""The documentation page in a real browser: it sends requests to this service only, and its examples work unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import pytest

from tests.end_to_end.chromium import PROGRAM, Request, Tab
from tests.end_to_end.development import Service

pytestmark = pytest.mark.skipif(
    not PROGRAM, reason="LOUD: Chromium is not installed, so the documentation page is NOT tested in a browser"
)

# In the order of the requests: the first one creates the task that the others use.
WORK_AS_THEY_STAND = {
    "tasks/createTask": 201,
    "tasks/listTasks": 200,
    "tasks/getTaskSummary": 200,
    "tasks/getTask": 200,
    "tasks/updateTask": 200,
    "tasks/completeTask": 200,
    "tasks/skipTask": 409,  # the task of the example does not repeat
    "tasks/batchTasks": 200,
    "tasks/listTaskChanges": 200,
    "sync/listChanges": 200,
    "tasks/deleteTask": 204,
    "lists/createList": 201,
    "lists/listLists": 200,
    "lists/getList": 200,
    "lists/updateList": 200,
    "lists/deleteList": 204,
    "trash/listTrash": 200,
    "trash/restoreTask": 200,
    "trash/destroyTask": 404,  # it was restored
    "trash/listTrashedLists": 200,
    "trash/restoreList": 200,
    "trash/destroyList": 404,  # it was restored
    "export-and-import/exportTasks": 200,
    "export-and-import/importTasks": 200,
    "health/getReadiness": 200,
}
# An example with a body and a parameter in the path. The page needs one to two seconds of CPU time for each request, so
# only `make trials` sends all of them. test_openapi.py sends all examples without the page.
ONE_OF_THEM = ["tasks/updateTask"]
# These routes delete more than one item. The page does not fill in the user, and sends nothing without one.
GUARDED = ("tasks/deleteTasks", "trash/emptyTrash", "user/eraseUser")
# These routes are not tested here. The first two never end. The next three are the page itself, which does not list
# them. The others resemble a route that is tested.
OTHERS = {
    "streamTaskEvents", "streamEvents", "getOpenApiDocument", "getDocumentationPage", "getDocumentationFile", "putTask",
    "putList", "batchWrites", "postTaskCompletion", "getLiveness", "getHealth", "getMetrics",
}  # fmt: skip


# The button that sends the open request.
SEND = (
    "[...document.querySelectorAll('.scalar-client .scalar-button-solid')]"
    ".find(one => one.checkVisibility({ visibilityProperty: true }))"
)


def opener(anchor: str) -> str:
    """Return the button that opens the request of an operation."""
    return f"document.querySelector(`section[id='v1/tag/{anchor}'] .show-api-client-button`)"


class Page:
    """A tab with the documentation page."""

    def __init__(self, tab: Tab, address: str, eventually: Callable[..., Awaitable[object]]):
        self.tab, self.address, self._eventually = tab, address, eventually
        self.anchor, self.width = "", 0  # of the page, once it is loaded
        self.opened = ""  # the operation whose request is open

    async def until(self, script: str) -> None:
        async def holds() -> bool:
            return await self.tab.run(f"Boolean({script})")  # an element has no value

        try:
            await self._eventually(holds, 60)
        except AssertionError:
            seen = await self.tab.run("document.body.innerText.slice(0, 4000)")
            pytest.fail(f"never came true: {script}\n{self.tab.complaints}\n{seen}", pytrace=False)

    async def show(self, anchor: str = "", *, dark: bool = False, width: int = 1280) -> None:
        """Reload the page at an operation such as "tasks/createTask", or at its top. It takes seconds of CPU time."""
        self.anchor, self.width, self.opened = anchor, width, ""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.tab.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.tab.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 1000
        )
        await self.tab.call("Page.navigate", url="about:blank")
        await self.tab.call("Page.navigate", url=f"{self.address}/docs{anchor and f'#v1/tag/{anchor}'}")
        await self.until(opener(anchor) if anchor else "document.querySelector('.introduction-section')")

    async def send(self, anchor: str) -> int:
        """Open the request of an operation and send it unchanged. Return the number of earlier requests."""
        if self.opened != anchor:
            await self._open(anchor)
        before = len(self.tab.requests)
        await self.tab.run(f"{SEND}.click()")
        return before

    async def _open(self, anchor: str) -> None:
        if self.opened:
            await self.tab.run("document.querySelector('.app-exit-button').click()")
            await self.until(f"!({SEND})")
        if self.width > 1000:
            await self.tab.run(f"location.hash = '#v1/tag/{anchor}'")
            await self.until(opener(anchor))
        else:
            await self.show(anchor)
        await self.tab.run(f"{opener(anchor)}.click()")
        await self.until(SEND)
        self.opened = anchor

    async def answer(self, before: int) -> Request:
        """Wait for the response to the API request after the first `before` requests."""

        def answered() -> Request | None:
            new = [one for one in self.tab.requests[before:] if not re.search(r"^data:|^blob:|/docs/", one.url)]
            return new[0] if new and new[0].status else None

        return await self._eventually(answered)


@pytest.fixture(scope="module")
async def service(make_database, tmp_path_factory, starter, unused_port) -> AsyncIterator[Service]:
    folder, database = tmp_path_factory.mktemp("documentation"), await make_database("documentation")
    service = Service(folder, starter, DATABASE_URL=database, PORT=str(unused_port()), RATE_LIMIT="off")
    await service.start()
    yield service
    service.process.kill()
    assert service.process.stderr == ""


@pytest.fixture(scope="module")
def address(service) -> str:
    return service.address.removesuffix("/playground")


@pytest.fixture(scope="module")
async def one_page(browser, address, eventually) -> AsyncIterator[Page]:
    async with browser.profile() as profile:
        yield Page(await browser.open("about:blank", profile), address, eventually)


@pytest.fixture
def page(one_page) -> Page:
    """The page of all tests, as the previous one has left it, without what has been recorded of it."""
    one_page.tab.forget()
    return one_page


@pytest.fixture
async def demo(address) -> AsyncIterator[httpx.AsyncClient]:
    """The demo user, without the page."""
    async with httpx.AsyncClient(base_url=address, verify=False) as client:
        granted = await client.get("/playground/session", headers={"Sec-Fetch-Site": "same-origin"})
        client.headers["Authorization"] = f"Bearer {granted.json()['token']}"
        yield client


def elsewhere(page: Page) -> list[str]:
    """Return every address that the page has requested, or has tried to, except those of this service."""
    return [
        request.url
        for request in page.tab.requests
        if not request.url.startswith((f"{page.address}/", "data:", "about:"))
    ]


# The first two tests use the same load of the page, because each one takes seconds of CPU time.
async def test_the_dark_page_is_readable_and_contacts_no_other_server(page):
    await page.show(dark=True)
    await is_readable(page, dark=True)


async def test_its_search_and_all_of_its_groups_ask_no_other_server(page):
    if page.anchor or page.width < 1000:
        await page.show()
    await page.tab.run("document.querySelectorAll('[aria-expanded=false]').forEach(one => one.click())")
    await page.tab.run("[...document.querySelectorAll('button')].find(one => /Search/.test(one.innerText)).click()")
    await page.until("document.activeElement.matches('input')")
    await page.tab.type("restore")
    await page.until("/Restore a deleted task/.test(document.querySelector('[role=dialog]')?.innerText)")
    assert elsewhere(page) == []
    assert page.tab.complaints == []
    await page.tab.press("Escape")
    await page.until("!document.querySelector('[role=dialog]')?.checkVisibility()")


@pytest.mark.parametrize(
    "anchors", [ONE_OF_THEM, pytest.param([*WORK_AS_THEY_STAND], marks=pytest.mark.trial)], ids=["one of them", "all"]
)
async def test_each_example_works_unchanged(page, demo, anchors):
    description = (await demo.get("/openapi.json")).json()
    named = {operation["operationId"] for path in description["paths"].values() for operation in path.values()}
    assert named == {one.partition("/")[2] for one in (*WORK_AS_THEY_STAND, *GUARDED)} | OTHERS
    if "tasks/createTask" not in anchors:
        await demo.post("/api/me/tasks", json={"title": "The first one"})
    for anchor in anchors:
        status = WORK_AS_THEY_STAND[anchor]
        answer = await page.answer(await page.send(anchor))
        assert (answer.status, urlsplit(answer.url).query) == (status, ""), f"{anchor}: {answer.method} {answer.url}"
    assert elsewhere(page) == []
    expected = re.compile(
        r"status of 404 .*/api/demo/trash/(\d+|lists/[0-9a-f-]+)(/restore)?$|status of 409 .*/tasks/\d+/skip$"
        "|request has been cancelled"
    )
    assert [one for one in page.tab.complaints if not expected.search(one)] == []


# It sends the request that the last test has left open, or opens it.
async def test_a_token_that_would_have_expired_is_exchanged(page, demo):
    await demo.post("/api/me/tasks", json={"title": "The first one, if this test runs alone"})
    if page.width < 1000:
        await page.show("tasks/updateTask")
    await page.tab.run("{ const now = Date.now; Date.now = () => now() + 11 * 60_000; } 0")
    before = await page.send("tasks/updateTask")
    assert (await page.answer(before + 1)).status == 200
    asked = [urlsplit(one.url).path for one in page.tab.requests if one.url.startswith("http")]
    assert re.fullmatch(r"/playground/session /api/demo/tasks/\d+", " ".join(asked[-2:]))


# The document has no example of the user for all of them: see test_openapi.py.
@pytest.mark.parametrize(
    "anchors", [GUARDED[:1], pytest.param(GUARDED, marks=pytest.mark.trial)], ids=["one of them", "all"]
)
async def test_nothing_is_destroyed_by_sending_an_example(page, demo, anchors):
    await demo.post("/api/me/tasks", json={"title": "Stays"})
    before = (await demo.get("/api/me/export")).json()["tasks"]
    for anchor in anchors:
        await page.send(anchor)
        await page.until("/must have values/.test(document.querySelector('[data-sonner-toaster]')?.textContent)")
    assert [request.url for request in page.tab.requests if request.method == "DELETE"] == []
    assert (await demo.get("/api/me/export")).json()["tasks"] == before


async def test_in_production_it_is_readable_at_390_pixels_and_has_and_asks_for_no_token(browser, server, eventually):
    async with browser.profile() as profile:
        page = Page(await browser.open("about:blank", profile), server, eventually)
        await page.show("tasks/createTask", width=390)
        await is_readable(page, dark=False)
        assert not await page.tab.run("document.body.dataset.session ?? ''")
        asked = {urlsplit(one.url).path.partition(".")[0] for one in page.tab.requests if one.url.startswith("http")}
        assert asked - {"/docs/icon"} == {"/docs", "/docs/page", "/docs/scalar", "/openapi"}
        assert "eyJ" not in json.dumps(await page.tab.run("document.documentElement.outerHTML"))


async def is_readable(page: Page, *, dark: bool) -> None:
    """Check that the page fits into its window, has the colours of its theme, and contacts no other server."""
    assert await page.tab.run("document.documentElement.scrollWidth") <= page.width, "it scrolls sideways"
    assert await page.tab.run("document.body.classList.contains('dark-mode')") is dark
    background = await page.tab.run("getComputedStyle(document.querySelector('.scalar-app')).backgroundColor")
    assert background == ("rgb(18, 20, 19)" if dark else "rgb(250, 249, 246)")
    assert elsewhere(page) == []
    assert page.tab.complaints == []
