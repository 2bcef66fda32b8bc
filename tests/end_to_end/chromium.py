"""A headless Chromium, driven over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = [
    "--headless=new", "--remote-debugging-port=0", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-startup-window",
    # Treat a tab in the background as visible.
    "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    # Run the tabs of a profile in one process, and start none in advance: each takes a quarter of a second of CPU time.
    "--process-per-site", "--renderer-process-limit=1", "--disable-site-isolation-trials",
    "--disable-features=PaintHolding,SpareRendererForSitePerProcess",
    "--js-flags=--no-opt",  # Pages live for seconds, so the optimizing compiler takes more CPU time than it saves.
]  # fmt: skip


# What Chromium answers if the page of a running command gives way to the next one.
PAGE_LEFT = ("Inspected target navigated or closed", "Execution context was destroyed.")


class PageLeftError(ConnectionError):
    """The tab has left the page before the end of a command. `eventually` takes that for "not yet"."""


class Browser:
    """One browser; its tabs share its storage."""

    def __init__(self, connection: ClientConnection):
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}

    async def listen(self) -> None:
        """Pass each response to its waiter, and each event to its tab."""
        async for text in self._connection:
            message = json.loads(text)
            if "id" in message:
                self._waiting.pop(message["id"]).set_result(message)
            elif tab := self._tabs.get(message.get("sessionId", "")):
                tab.hear(message["method"], message["params"])

    async def send(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Send a command, and return its number."""
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._connection.send(json.dumps(message | ({"sessionId": session} if session else {})))
        return number

    async def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = await self.send(method, session, **parameters)
        async with asyncio.timeout(120):  # a busy machine needs seconds to draw a page
            answer = await self._waiting[number]
        if "error" in answer and answer["error"]["message"] in PAGE_LEFT:
            raise PageLeftError(method)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    @contextlib.asynccontextmanager
    async def profile(self) -> AsyncIterator[str]:
        """A browser context: its tabs share storage with each other only; it ends with the block."""
        profile = (await self.call("Target.createBrowserContext"))["browserContextId"]
        yield profile
        await self.call("Target.disposeBrowserContext", browserContextId=profile)

    async def open(self, url: str, profile: str) -> Tab:
        """Open a page in a new tab, with the preference for reduced motion."""
        created = await self.call("Target.createTarget", url="about:blank", browserContextId=profile)
        target = created["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        self._tabs[session] = tab = Tab(self, target, session)
        for domain in ("Runtime", "Log", "Page", "Network"):
            await tab.call(f"{domain}.enable")
        await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        await tab.call("Page.navigate", url=url)
        return tab


class Request:
    """A request that a page has sent or that its policy has blocked. The status is None until the response arrives."""

    def __init__(self, method: str, url: str):
        self.method, self.url, self.status = method, url, None


class Tab:
    """One tab. `complaints` has its console's errors and warnings, and `requests` has its requests."""

    def __init__(self, browser: Browser, target: str, session: str):
        self._browser, self._target, self._session = browser, target, session
        self.complaints: list[str] = []
        self._crashed = asyncio.Event()
        self._requests: dict[str, Request] = {}

    @property
    def requests(self) -> list[Request]:
        return [*self._requests.values()]

    def hear(self, method: str, event: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self._requests[event["requestId"]] = Request(event["request"]["method"], event["request"]["url"])
        elif method == "Network.responseReceived" and event["requestId"] in self._requests:
            self._requests[event["requestId"]].status = event["response"]["status"]
        elif method == "Inspector.targetCrashed":
            self._crashed.set()
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(event["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and event["type"] in {"error", "warning", "assert"}:
            self.complaints.append(json.dumps(event["args"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(f"{event['entry']['text']} {event['entry'].get('url', '')}")

    def forget(self) -> None:
        """Forget the complaints and requests until now."""
        self.complaints.clear()
        self._requests.clear()

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.call(method, self._session, **parameters)

    async def run(self, script: str) -> Any:
        """Evaluate a JavaScript expression and return its value. An exception fails the test."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def type(self, text: str) -> None:
        """Type into the focused element."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        code = {
            "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Delete": 46,
            "F2": 113,
        }[key]  # fmt: skip
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                **(text if kind == "keyDown" else {}),
            )  # fmt: skip

    async def crash(self) -> None:
        """Kill the tab's process, which other tabs may share, and wait for its end."""
        await self.call("Inspector.enable")
        await self._browser.send("Page.crash", self._session)  # nothing answers
        async with asyncio.timeout(120):
            await self._crashed.wait()

    async def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse button at the first point, move over the others, and release it at the last one."""
        await self.call("Page.bringToFront")  # a tab in the background handles mouse events once in some seconds
        for number, (x, y) in enumerate([*points, points[-1]]):
            kind = "mousePressed" if number == 0 else "mouseReleased" if number == len(points) else "mouseMoved"
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=int(number < len(points)),
                clickCount=int(kind != "mouseMoved"),
            )  # fmt: skip

    async def close(self) -> None:
        """Close the tab, unless it is closed."""
        if self._target:
            await self._browser.call("Target.closeTarget", targetId=self._target)
            self._target = ""


@contextlib.asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[Browser]:
    """Run a browser with its profile in `folder` within a block."""
    assert PROGRAM
    options = [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # Chromium requires this for root
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *options, f"--user-data-dir={folder}",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    listening = None
    try:
        async with asyncio.timeout(60):
            while not (line := await process.stderr.readline()).startswith(b"DevTools listening on "):
                assert line, "Chromium did not start"
        async with connect(line.split()[-1].decode(), max_size=None, proxy=None) as connection:
            browser = Browser(connection)
            listening = asyncio.create_task(browser.listen())
            yield browser
            await browser.call("Browser.close")
            async with asyncio.timeout(30):
                await process.communicate()
    finally:
        if listening:
            listening.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
