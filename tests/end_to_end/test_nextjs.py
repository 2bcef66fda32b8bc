"""The Next.js example in a real browser, with Better Auth and a service: two tabs, two devices, offline, sign-out."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.conftest import Launched
from tests.end_to_end.chromium import PROGRAM, Browser, Tab
from tests.end_to_end.development import Service
from tests.end_to_end.npm import NODE, NPM, install

EXAMPLE = Path(__file__).parents[2] / "examples" / "nextjs"
NEXT = [NODE, "node_modules/next/dist/bin/next"]
PASSWORD = "correct horse battery"
SECONDS = 900  # for the installation and for the build, on a busy machine
OFFLINE = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
# The number of the rows in the databases of the origin. An empty database may stay until the last tab has closed it.
STORED = """(async () => {
  const wait = (request) => new Promise((resolve) => { request.onsuccess = () => resolve(request.result); });
  let rows = 0;
  for (const { name } of await indexedDB.databases()) {
    const database = await wait(indexedDB.open(name));
    for (const store of database.objectStoreNames) {
      rows += await wait(database.transaction(store).objectStore(store).count());
    }
    database.close();
  }
  return rows;
})()"""
# Chromium itself reports requests without a connection.
DISCONNECTED = re.compile(r"net::ERR_(INTERNET_DISCONNECTED|NETWORK_CHANGED)")

pytestmark = [
    pytest.mark.trial,
    pytest.mark.skipif(
        not (NODE and NPM and PROGRAM),
        reason="LOUD: node or Chromium is not installed, so the Next.js example is NOT tested",
    ),
]


@pytest.fixture(scope="module")
async def app(tmp_path_factory, starter, unused_port, make_database) -> AsyncIterator[str]:
    """The address of the built app, which runs beside a service as `make run` starts it."""
    install(EXAMPLE)
    folder, address, port = tmp_path_factory.mktemp("nextjs"), f"http://localhost:{unused_port()}", unused_port()
    environment = {
        "PATH": str(Path(NODE).parent) + ":/usr/bin:/bin", "HOME": str(folder), "NEXT_TELEMETRY_DISABLED": "1",
        "BETTER_AUTH_RATE_LIMIT": "off",
        "BETTER_AUTH_URL": address, "NEXT_PUBLIC_DOABLE_URL": f"http://localhost:{port}",
    }  # fmt: skip

    def begin(*command: str) -> Callable[[BinaryIO, BinaryIO], subprocess.Popen[bytes]]:
        options = {"cwd": EXAMPLE, "env": environment, "start_new_session": True}
        return lambda stdout, stderr: subprocess.Popen(command, stdout=stdout, stderr=stderr, **options)

    for number, command in enumerate([[NPM, "run", "postinstall"], [*NEXT, "build"]]):
        process = Launched(begin(*command), folder, number)
        assert await process.exit_code(SECONDS) == 0, process.stdout + process.stderr
    (folder / "service").mkdir()
    service = Service(
        folder / "service", starter, DATABASE_URL=await make_database("nextjs"), PORT=str(port), BETTER_AUTH_URL=address
    )
    await service.start()
    server = Launched(begin(*NEXT, "start", "--port", address.rpartition(":")[2]), folder, 2)
    await server.says("Ready in", 120)
    yield address
    server.kill()
    service.process.kill()
    assert (server.stderr, service.process.stderr) == ("", "")


class Page:
    """A tab with the app, with the actions of its user."""

    def __init__(self, tab: Tab, eventually: Callable[..., Awaitable[object]]):
        self.tab, self._eventually = tab, eventually

    async def until(self, script: str) -> None:
        async def holds() -> bool:
            return bool(await self.tab.run(script))

        try:
            await self._eventually(holds, 60)
        except AssertionError:
            seen = await self.tab.run("document.body?.innerText")
            pytest.fail(f"never came true: {script}\n{self.tab.complaints}\n{seen}")

    async def shows(self, *titles: str, badge: str = "Saved") -> None:
        """Wait until the rows have these titles, and the badge this text."""
        expected = json.dumps(json.dumps([titles, badge], separators=(",", ":")))
        await self.until(
            "JSON.stringify([[...document.querySelectorAll('li .title')].map(title => title.textContent),"
            f" document.querySelector('.badge')?.textContent]) === {expected}"
        )

    async def is_at(self, path: str) -> None:
        await self.until(f"document.readyState === 'complete' && location.pathname === '{path}'")

    async def click(self, what: str, name: str) -> None:
        """Click the first element whose label or text begins with the name."""
        found = (
            f"[...document.querySelectorAll('{what}')].find(one => !one.disabled &&"
            f" (one.ariaLabel ?? one.textContent).startsWith({json.dumps(name)}))"
        )
        await self.until(f"Boolean({found})")
        await self.tab.run(f"{found}.click()")

    async def fill(self, field: str, text: str) -> None:
        await self.until(f"Boolean(document.querySelector('[name={field}]'))")
        await self.tab.run(f"document.querySelector('[name={field}]').focus()")
        await self.tab.type(text)

    async def add(self, title: str) -> None:
        await self.fill("title", title)
        await self.click("button", "Add")

    async def rename(self, title: str, to: str) -> None:
        await self.click("button.title", title)
        await self.until("document.activeElement.ariaLabel === 'Title'")
        await self.tab.run("document.activeElement.select()")
        await self.tab.type(to)
        await self.tab.press("Enter")

    async def sign(self, email: str, *, up: bool) -> None:
        """Sign up or in."""
        await self.until("Boolean(document.querySelector('[name=password]'))")
        if up:
            # The server has drawn the button, so a click may come before its handler.
            await self.until(
                "Boolean(document.querySelector('[name=name]')) || void document.querySelector('.quiet')?.click()"
            )
            await self.fill("name", "Ada")
        await self.fill("email", email)
        await self.fill("password", PASSWORD)
        await self.click("button.primary", "Sign up" if up else "Sign in")
        await self.is_at("/")

    async def connect(self, *, online: bool) -> None:
        await self.tab.call("Network.emulateNetworkConditions", offline=not online, **OFFLINE)


@pytest.fixture
async def device(browser: Browser, app, eventually) -> AsyncIterator[Callable[[], Awaitable[Callable]]]:
    """`visit = await device()` is a new device, and `await visit()` opens a tab on it. No console may complain."""
    pages: list[Page] = []
    profiles = []

    async def switch_on() -> Callable[[], Awaitable[Page]]:
        profile = browser.profile()
        profiles.append(profile)
        name = await profile.__aenter__()

        async def visit() -> Page:
            pages.append(Page(await browser.open(app, name), eventually))
            return pages[-1]

        return visit

    yield switch_on
    for page in pages:
        await page.tab.close()
    for profile in profiles:
        await profile.__aexit__(None, None, None)
    assert [one for page in pages for one in page.tab.complaints if not DISCONNECTED.search(one)] == []


emails = (f"ada{number}@example.com" for number in itertools.count())


async def test_a_new_user_adds_edits_completes_and_deletes_tasks_in_two_tabs(device):
    visit = await device()
    first = await visit()
    await first.is_at("/sign-in")
    await first.sign(next(emails), up=True)
    await first.shows()
    await first.add("Water the plants")
    await first.add("Mow the lawn")
    await first.shows("Mow the lawn", "Water the plants")
    second = await visit()
    await second.shows("Mow the lawn", "Water the plants")
    assert "Mow the lawn" in await second.tab.run("fetch('/').then(response => response.text())"), "the first paint"
    await second.rename("Mow the lawn", "Mow")
    await first.shows("Mow", "Water the plants")
    await first.click("input", "Complete Mow")
    await second.shows("Water the plants")
    await second.click("button", "Delete Water")
    await first.shows()
    await second.click("button", "Undo")
    for tab in (first, second):
        await tab.shows("Water the plants")
    await first.click(".filter input", "")
    await first.shows("Mow", "Water the plants")


async def test_changes_without_a_connection_are_sent_later_and_the_user_decides_conflicts(device):
    email = next(emails)
    visit, phone = await device(), await device()
    first, second, other = await visit(), await visit(), await phone()
    await first.sign(email, up=True)
    await first.add("Water the plants")
    await first.add("Mow the lawn")
    await first.shows("Mow the lawn", "Water the plants")
    await second.tab.call("Page.navigate", url=await first.tab.run("location.origin"))
    await second.shows("Mow the lawn", "Water the plants")
    await other.sign(email, up=False)
    await other.shows("Mow the lawn", "Water the plants")
    for tab in (first, second):
        await tab.connect(online=False)
    await first.shows("Mow the lawn", "Water the plants", badge="Offline")
    await second.rename("Mow the lawn", "Mow")
    await first.rename("Water the plants", "Water all plants")
    for tab in (first, second):
        await tab.shows("Mow", "Water all plants", badge="Offline: 2 changes will be sent later")
    await other.rename("Water the plants", "Water no plants")
    await other.shows("Mow the lawn", "Water no plants")
    for tab in (first, second):
        await tab.connect(online=True)
    await first.click("dialog[open] button", "Mine: Water all plants")
    for tab in (first, second, other):
        await tab.shows("Mow", "Water all plants")


async def test_a_sign_out_erases_the_copy_of_the_device_and_every_tab_leaves(device):
    visit = await device()
    first, second = await visit(), await visit()
    email = next(emails)
    await first.sign(email, up=True)
    await first.add("Water the plants")
    await first.shows("Water the plants")
    assert await first.tab.run(STORED) > 0
    await second.tab.call("Page.navigate", url=await first.tab.run("location.origin"))
    await second.shows("Water the plants")
    await first.click("button", "Sign out")
    for tab in (first, second):
        await tab.is_at("/sign-in")
    assert await first.tab.run(STORED) == 0
    await second.sign(next(emails), up=True)
    await second.shows()
    await first.sign(email, up=False)
    await first.shows("Water the plants")
