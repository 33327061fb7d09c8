"""A real Chromium without a window, driven over its DevTools protocol; for the checks of the live view.

Source of commands and events: chromedevtools.github.io/devtools-protocol.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

START_S: Final = 30.0
ANSWER_S: Final = 20.0
POLL_S: Final = 0.1

NAME_OF_OTHERS: Final = "evil.example"
"""A name that somebody else has pointed at this machine."""

_OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
    f"--host-resolver-rules=MAP {NAME_OF_OTHERS} 127.0.0.1",
)


_CONTEXT_GONE: Final = "Cannot find context"
"""What Chromium says when a frame loads another page between two commands."""


class BrowserError(AssertionError):
    """The page, or the browser, did not do what it should."""


class Page:
    """One tab.

    Args:
        browser: whose it is.
        session: its name in the protocol.
        context: of the tabs that share its window and cookies.
    """

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self.context = context
        self.complaints: list[str] = []
        """What the console said: errors, warnings, violations of the policy."""
        self.requests: list[str] = []
        """Every address that was asked for."""
        self.frames = 0
        """Binary messages that came over WebSockets."""

    async def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command."""
        return await self._browser.do(method, self._session, **parameters)

    async def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        await self.do("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def value(self, expression: str) -> Any:
        """What some JavaScript gives, awaited."""
        answer = await self.do(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def framed(self, expression: str) -> Any:
        """What some JavaScript gives in the page's only frame, one of the same site; None without one."""
        frames = (await self.do("Page.getFrameTree"))["frameTree"].get("childFrames", [])
        if len(frames) != 1:
            return None
        frame = frames[0]["frame"]["id"]
        try:
            return await self._value_of_frame(frame, expression)
        except BrowserError as error:
            if _CONTEXT_GONE not in str(error):
                raise
            return await self._value_of_frame(frame, expression)  # it went to another page meanwhile

    async def _value_of_frame(self, frame: str, expression: str) -> Any:
        world = await self.do("Page.createIsolatedWorld", frameId=frame)
        answer = await self.do(
            "Runtime.evaluate",
            expression=expression,
            contextId=world["executionContextId"],
            returnByValue=True,
        )
        return answer["result"].get("value")

    async def until(self, expression: str, timeout_s: float = ANSWER_S) -> Any:
        """Wait until some JavaScript gives something true."""
        try:
            async with asyncio.timeout(timeout_s):
                while not (value := await self._value_if_there(expression)):
                    await asyncio.sleep(POLL_S)
                return value
        except TimeoutError:
            raise BrowserError(f"not within {timeout_s:g} s: {expression}") from None

    async def _value_if_there(self, expression: str) -> Any:
        try:
            return await self.value(expression)
        except BrowserError:  # between two pages there is none
            return None

    async def show_as(self, width: int, height: int, *, scheme: str = "light", phone: bool = False) -> None:
        """The window's size in px, `light` or `dark`, and whether it is a phone's."""
        await self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        await self.do("Emulation.setTouchEmulationEnabled", enabled=phone)
        await self.do(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    async def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """The page as it is, as PNG; all of it, or what fits into the window."""
        answer = await self.do("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    async def click(self, x: float, y: float) -> None:
        """With the mouse, px of the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            await self.mouse(kind, x, y)

    async def mouse(self, kind: str, x: float, y: float) -> None:
        """One event of the mouse, its left button."""
        button = "none" if kind == "mouseMoved" else "left"
        await self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    async def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """With the mouse, px of the window."""
        await self.mouse("mouseMoved", *start)
        await self.mouse("mousePressed", *start)
        parameters = {"type": "mouseMoved", "button": "left", "buttons": 1}
        for step in (0.5, 1.0):
            x, y = (a + (b - a) * step for a, b in zip(start, end, strict=True))
            await self.do("Input.dispatchMouseEvent", x=x, y=y, **parameters)
        await self.mouse("mouseReleased", *end)

    async def tap(self, x: float, y: float) -> None:
        """With a finger, px of the window."""
        await self.do("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        await self.do("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    async def press(self, selector: str) -> None:
        """What a selector names, as if clicked."""
        await self.value(f"document.querySelector({json.dumps(selector)}).click()")

    async def write(self, selector: str, text: str) -> None:
        """Put a text into a field, as typing would."""
        await self.value(
            f"(field => {{ field.focus(); field.value = {json.dumps(text)};"
            " field.dispatchEvent(new Event('input', {bubbles: true})); })"
            f"(document.querySelector({json.dumps(selector)}))"
        )

    def hear(self, method: str, parameters: dict[str, Any]) -> None:
        """An event of the browser."""
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(parameters["url"])
        elif method == "Network.webSocketFrameReceived":
            self.frames += parameters["response"]["opcode"] == 2
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))


class Browser:
    """Chromium in the background.

    Args:
        program: its path.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="posed-browser-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        self._process = subprocess.Popen(
            [self._program, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        address = folder / "DevToolsActivePort"
        await _until(lambda: address.exists() and len(address.read_text().splitlines()) > 1, START_S)
        port, path, *_ = address.read_text().splitlines()
        self._client = aiohttp.ClientSession()
        self._socket = await self._client.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0)
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()  # which also ends the listening
        await self._listening
        await self._client.close()
        self._process.terminate()
        self._process.wait(START_S)
        self._folder.cleanup()

    async def page(self, in_front_of: Page | None = None) -> Page:
        """A new tab: in front of another, which is hidden by it, or in a window that shares no cookies."""
        if in_front_of is None:
            context = (await self.do("Target.createBrowserContext"))["browserContextId"]
        else:
            context = in_front_of.context
        target = await self.do("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.do("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"], context)
        for domain in ("Page", "Runtime", "Network", "Log"):
            await page.do(f"{domain}.enable")
        return page

    async def do(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command, and its answer."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(command if session is None else command | {"sessionId": session})
        try:
            return await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            raise BrowserError(f"no answer to {method}") from None

    async def _listen(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" not in said:
                page = self._pages.get(said.get("sessionId", ""))
                if page is not None:
                    page.hear(said["method"], said["params"])
                continue
            answer = self._answers.pop(said["id"])
            if "error" in said:
                answer.set_exception(BrowserError(said["error"]["message"]))
            elif not answer.done():
                answer.set_result(said["result"])


async def _until(condition: Callable[[], bool], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(POLL_S)
