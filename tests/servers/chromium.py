"""
Headless Chromium, driven over the DevTools protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.servers.process import Launch, ServerProcess, free_ports, start

_OPTIONS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Seconds until a page must show what is waited for, on a busy machine.
PATIENCE: Final = 60.0


def start_chromium() -> ServerProcess:
    """
    Start Chromium; skip the test where there is none.
    """
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium as `chromium` on the path: Debian's package chromium")
    return start("Chromium", lambda folder: _plan(program, folder))


def _plan(program: str, folder: Path) -> Launch:
    (port,) = free_ports(1)
    own = (f"--remote-debugging-port={port}", f"--user-data-dir={folder}/profile")
    return Launch(
        command=[program, *_OPTIONS, *own, "about:blank"],
        ports={"devtools": port},
        ready_url=f"http://127.0.0.1:{port}/json/version",
    )


@asynccontextmanager
async def new_page(browser: ServerProcess) -> AsyncIterator[Page]:
    """
    Open an empty page, and close it at the end of the block.
    """
    origin = f"http://127.0.0.1:{browser.launch.ports['devtools']}"
    async with aiohttp.ClientSession() as session:
        async with session.put(f"{origin}/json/new?about:blank") as reply:
            target = await reply.json()
        async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
                await page.send(f"{domain}.enable")
            yield page
            await page.send("Page.close")


class Page:
    """
    A page of the browser.

    Attributes:
        complaints: Errors of scripts, and what the page's security policy has blocked. Statuses of replies are not
            among them: the page handles those.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = count(1)

    async def send(self, method: str, **parameters: Any) -> Any:
        """
        Call a method of the protocol and return its result.
        """
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == number:
                    assert "error" not in message, f"{method}: {message['error']}"
                    return message["result"]
                self._note(message)

    def _note(self, message: Any) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded":
            entry = message["params"]["entry"]
            if entry["level"] == "error" and entry["source"] != "network":
                self.complaints.append(entry["text"])

    async def evaluate(self, expression: str) -> Any:
        """
        Return the value of a JavaScript expression, awaited.
        """
        # As the user's doing, which some functions of the browser require.
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        reply = await self.send("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in reply, f"{expression}: {reply['exceptionDetails']}"
        return reply["result"].get("value")

    async def until(self, expression: str) -> Any:
        """
        Wait until an expression is true, as JavaScript sees it, and return its value.
        """
        # Elements arrive as empty dictionaries.
        found = f"((found) => found instanceof Node || found)({expression})"
        try:
            async with asyncio.timeout(PATIENCE):
                while not (value := await self.evaluate(found)):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(f"never true: {expression}\n{self.complaints}\n{shown}") from None
        return value

    async def press(self, key: str, code: int, text: str = "") -> None:
        """
        Press a key, by its name and number: ``press("Tab", 9)``.
        """
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, **event)

    async def choose(self, selector: str, *files: Path) -> None:
        """
        Choose files in an input, as in the system's dialog.
        """
        document = await self.send("DOM.getDocument")
        found = await self.send("DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector)
        await self.send("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(file) for file in files])

    async def drop(self, selector: str, *files: Path) -> None:
        """
        Drag files from outside the browser to the middle of an element.
        """
        box = await self.evaluate(
            f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await self.send("Input.dispatchDragEvent", type=kind, x=box[0], y=box[1], data=data)

    async def sending_at(self, rate: int) -> None:
        """
        Let the page send at most so many bytes a second from now on.
        """
        await self._network(offline=False, uploadThroughput=rate)

    async def disconnect(self) -> None:
        """
        Let no request of the page arrive from now on.
        """
        await self._network(offline=True, uploadThroughput=-1)

    async def _network(self, **conditions: Any) -> None:
        await self.send("Network.emulateNetworkConditions", latency=0, downloadThroughput=-1, **conditions)

    async def screenshot(self) -> bytes:
        """
        Return what is shown, as PNG.
        """
        reply = await self.send("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(reply["data"])
