"""
The file service of docs/examples in a browser, over SeaweedFS and a folder.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from asyncstore import MiB, Storage, open_storage
from tests.build import patterned
from tests.conformance.s3 import settings
from tests.examples.file_service import load
from tests.integrations.web import on_uvicorn, until
from tests.servers.chromium import Page, new_page
from tests.servers.process import ServerProcess
from tests.servers.s3 import S3Server, fresh_bucket

pytestmark = pytest.mark.timeout(180)

#: So fast that a transfer of LARGE takes long enough to be seen.
RATE = 4 * MiB
LARGE = patterned(6 * MiB)
#: So slow that a transfer of LARGE has not ended when somebody cancels it, on a busy machine either.
SLOW = MiB // 8

TWIST = "<img src=x onerror=alert(1)> & 100%#?.txt"

# How tests find what users read.
_FUNCTIONS = """
window.entry = (name) => [...document.querySelectorAll("#entries tr")].find((row) => row.cells[0].textContent === name);
window.transferOf = (name) => [...document.querySelectorAll("#rows li")].find((row) => row.innerText.startsWith(name));
window.labelled = (label) => document.querySelector(`[aria-label=${JSON.stringify(label)}]`);
window.progress = [];
new MutationObserver((changes) => changes.forEach(({target}) => progress.push(target.position)))
    .observe(document.getElementById("rows"), {subtree: true, attributeFilter: ["value"]});
true
"""

# Of each text, its color and that behind it.
_COLORS = """
[...document.querySelectorAll("body, #path a, #entries a, th, #limit, #storages a, button")].map((element) => {
    const color = getComputedStyle(element).color;
    while (getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)") element = element.parentElement;
    return [color, getComputedStyle(element).backgroundColor];
})
"""


@pytest.fixture
def bucket(seaweed: S3Server) -> str:
    return fresh_bucket(seaweed)


@pytest.fixture
def opened(seaweed: S3Server, bucket: str) -> Callable[[int], AbstractAsyncContextManager[Storage]]:
    return lambda rate: open_storage(f"s3://{bucket}", **settings(seaweed), download_bytes_per_second=rate)


@pytest.fixture
async def s3(seaweed: S3Server, bucket: str) -> AsyncIterator[Storage]:
    """What the service has on SeaweedFS, without its limits."""
    async with open_storage(f"s3://{bucket}", **settings(seaweed)) as storage:
        yield storage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


@pytest.fixture
async def url(opened: Callable[[int], AbstractAsyncContextManager[Storage]], folder: Path) -> AsyncIterator[str]:
    sources = {"s3": partial(opened, RATE), "file": folder.as_uri(), "slow": partial(opened, SLOW)}
    with load() as service:
        app = service.create_app(sources, max_size=8 * MiB)
        async with on_uvicorn(app) as url:
            yield url


@pytest.fixture
async def page(chromium: ServerProcess, url: str) -> AsyncIterator[Page]:
    # After the service, so that it is closed before: the service waits for its requests.
    async with new_page(chromium) as page:
        yield page
        assert page.complaints == []


async def visit(page: Page, url: str) -> None:
    """
    Open the service, and wait until it has listed the folder.
    """
    await page.send("Page.navigate", url=url)
    await page.until("document.readyState === 'complete' && document.querySelector('#storages a')")
    await page.until("!document.getElementById('empty').hidden || document.querySelector('#entries tr')")
    await page.evaluate(_FUNCTIONS)


def q(text: str) -> str:
    """Return a text as JavaScript writes it."""
    return json.dumps(text)


async def click(page: Page, element: str) -> None:
    await page.until(element)
    await page.evaluate(f"{element}.click()")


async def done(page: Page, name: str, state: str = "Done") -> None:
    await page.until(f"transferOf({q(name)})?.querySelector('.state').textContent === {q(state)}")


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


async def test_upload_and_browse(page: Page, url: str, s3: Storage, tmp_path: Path) -> None:
    """
    By choosing and by dropping; names are text, whatever is in them.
    """
    await visit(page, url)
    await page.choose("#chosen", written(tmp_path / TWIST, b"twist"), written(tmp_path / "empty", b""))
    await done(page, TWIST)
    await done(page, "empty")
    await page.drop("#zone", written(tmp_path / "dropped.txt", b"dropped"))
    await done(page, "dropped.txt")

    await page.until(f"entry({q(TWIST)}) && entry('empty') && entry('dropped.txt')")
    assert await page.evaluate("document.getElementById('news').textContent") == "dropped.txt: Done"
    assert await page.evaluate("document.querySelector('#entries img')") is None
    assert await page.evaluate("entry('dropped.txt').cells[1].textContent") == "7 B"
    stored = {info.name: await s3.read(info.name) async for info in s3.list()}
    assert stored == {TWIST: b"twist", "empty": b"", "dropped.txt": b"dropped"}


async def test_progress_of_an_upload(page: Page, url: str, s3: Storage, tmp_path: Path) -> None:
    """
    It is shown while it goes on, and a cancelled upload leaves nothing.
    """
    await visit(page, url)
    await page.sending_at(RATE)
    await page.choose("#chosen", written(tmp_path / "large", LARGE), written(tmp_path / "other", LARGE))
    await click(page, "labelled('Cancel: other')")
    await done(page, "other", "Cancelled")
    await done(page, "large")
    assert any(0 < position < 1 for position in await page.evaluate("progress"))
    await click(page, "labelled('Remove from list: large')")

    await page.sending_at(SLOW)
    await page.choose("#chosen", written(tmp_path / "third", LARGE))
    await page.until("transferOf('third')?.innerText.includes(' of 6 MiB')")
    await click(page, "labelled('Cancel: third')")
    await done(page, "third", "Cancelled")
    await page.until("!transferOf('large')")

    assert [info.name async for info in s3.list()] == ["large"]
    assert await s3.read("large") == LARGE


async def test_folders_by_keyboard(page: Page, url: str, s3: Storage) -> None:
    """
    Tab reaches everything in the order in which it is read, with a ring that shows it; folders are links.
    """
    await s3.put("reports/2026/a.txt", b"a")
    await s3.put("b.txt", b"b")
    await visit(page, url)

    reached = []
    for _ in range(8):
        await page.press("Tab", 9)
        reached.append(await page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent"))
        assert await page.evaluate(
            "document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle"
        ) in ("solid", "auto")
        if reached[-1] == "reports/":
            break
    assert reached[-1] == "reports/", reached
    await page.press("Enter", 13, "\r")
    await page.until("entry('2026/')")
    await page.until("document.activeElement.textContent === 'reports'")
    await click(page, "entry('2026/').querySelector('a')")
    await page.until("entry('a.txt')")
    assert await page.evaluate("location.hash") == "#s3/reports/2026/"
    assert await page.evaluate("document.getElementById('path').innerText.split('\\n')") == ["Top", "reports", "2026"]
    await page.evaluate("history.back()")
    await page.until("entry('2026/')")


async def test_download_and_share(page: Page, url: str, s3: Storage, tmp_path: Path) -> None:
    await s3.put(f"in here/{TWIST}", b"twist")
    await visit(page, f"{url}/#s3/in%20here/")
    await page.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    await click(page, f"entry({q(TWIST)}).querySelector('a')")
    # The browser replaces what the file system might not allow.
    await until(lambda: [file.read_bytes() for file in tmp_path.glob("*.txt")] == [b"twist"])

    await click(page, f"labelled({q(f'Share {TWIST}')})")
    link = await page.until("document.getElementById('share').open && document.getElementById('share-link').value")
    async with aiohttp.ClientSession() as http, http.get(link) as reply:
        assert await reply.read() == b"twist"
        assert reply.history[0].status == 307
        assert str(reply.url).startswith(s3.describe()["endpoint"])
    await page.press("Escape", 27)
    await page.until("!document.getElementById('share').open")


async def test_copy_with_live_progress(page: Page, url: str, s3: Storage, folder: Path) -> None:
    """
    To the other provider, and not over what is there unless the user says so.
    """
    await s3.put("large", LARGE)
    (folder / "copied").write_bytes(b"there before")
    await visit(page, url)

    await click(page, "labelled('Copy large')")
    await page.evaluate("document.getElementById('copy-key').value = 'copied'")
    await click(page, "document.querySelector('#copy [value=copy]')")
    await done(page, "large to file://", "The object already exists.")
    assert (folder / "copied").read_bytes() == b"there before"
    await click(page, "transferOf('large to')?.querySelector('button')")
    await done(page, "large to file://")

    assert any(0 < position < 1 for position in await page.evaluate("progress"))
    assert (folder / "copied").read_bytes() == LARGE
    await page.evaluate("location.hash = '#file/'")
    await page.until("entry('copied')")
    assert await page.evaluate("entry('copied').cells[1].textContent") == "6 MiB"


async def test_a_cancelled_copy(page: Page, url: str, s3: Storage, folder: Path) -> None:
    """
    It ends at once and leaves nothing behind.
    """
    await s3.put("large", LARGE)
    await visit(page, f"{url}/#slow/")
    await click(page, "labelled('Copy large')")
    await page.evaluate("document.getElementById('copy-storage').value = 'file'")
    await click(page, "document.querySelector('#copy [value=copy]')")
    await page.until("transferOf('large to')?.innerText.includes(' of 6 MiB')")
    await click(page, "transferOf('large to')?.querySelector('button')")

    await done(page, "large to file://", "Cancelled")
    await until(lambda: not [*folder.iterdir()])


async def test_failures_in_words(page: Page, url: str, s3: Storage, tmp_path: Path) -> None:
    await s3.put("there", b"before")
    await visit(page, url)
    await page.evaluate("location.hash = '#none/'")
    await page.until("document.getElementById('failure').innerText === 'Unknown storage.'")
    await page.evaluate("location.hash = '#s3/'")
    await page.until("document.getElementById('failure').innerText === '' && entry('there')")

    await page.choose("#chosen", written(tmp_path / "huge", bytes(8 * MiB + 1)), written(tmp_path / "there", b"after"))
    await done(page, "huge", "Too large: the service takes files of up to 8 MiB.")
    await done(page, "there", "A file of this name is there already.")
    assert await s3.read("there") == b"before"
    await click(page, "labelled('Replace: there')")
    await done(page, "there")
    assert await s3.read("there") == b"after"

    await page.disconnect()
    unreachable = "The service cannot be reached. Check that it is running, and try again."
    await page.choose("#chosen", written(tmp_path / "late", b"late"))
    await done(page, "late", unreachable)
    await page.evaluate("location.hash = '#file/'")
    await page.until(f"document.getElementById('failure').innerText === {q(unreachable)}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_narrow_light_and_dark(page: Page, url: str, s3: Storage, scheme: str) -> None:
    """
    On a narrow screen nothing is cut off; colors follow the system, and have contrast.
    """
    await s3.put(f"{'a-long-name-' * 12}.txt", b"data")
    await s3.put("folder/b", b"data")
    await page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    await page.send("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    await visit(page, url)

    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    colors = await page.evaluate(_COLORS)
    assert min(_contrast(*pair) for pair in colors) >= 4.5
    assert (_luminance(colors[0][1]) < 0.1) == (scheme == "dark")


def _luminance(color: str) -> float:
    """
    Return the relative luminance of rgb(...): https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    """
    channels = [int(number) / 255 for number in color.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(text: str, back: str) -> float:
    low, high = sorted((_luminance(text), _luminance(back)))
    return (high + 0.05) / (low + 0.05)
