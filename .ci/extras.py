"""
Check an installation with one extra, or with none.

    python .ci/extras.py EXTRA|none

The package can be imported and can store files. The features of the extra work. Without any extra, each error names
the extra to install.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from asyncstore import ConfigurationError, RetryOptions, Storage, UnavailableError, open_storage

# No server listens here: a request that was signed successfully fails with a refused connection.
CLOSED = "http://127.0.0.1:9"

# Enough to get the error that names the missing extra.
NO_KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


def private_key() -> str:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa
    except ModuleNotFoundError:
        return NO_KEY
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


async def s3() -> None:
    settings = {"endpoint_url": CLOSED, "region": "us-east-1", "access_key_id": "AKIAFAKE", "secret_access_key": "fake"}
    async with open_storage("s3://bucket", **settings) as storage, storage.native():
        pass


async def gcs() -> None:
    async with open_storage("gs://bucket", endpoint_url=CLOSED, anonymous=True) as storage, storage.native():
        pass


async def azure() -> None:
    key = "ZmFrZQ=="
    async with open_storage("azure://container@account", account_key=key) as storage, storage.native():
        pass


async def oci() -> None:
    user = {"user": "ocid1.user.oc1..fake", "tenancy": "ocid1.tenancy.oc1..fake", "fingerprint": "00:11"}
    settings = {"auth_type": "user_principal", "key_content": private_key(), "region": "us-ashburn-1", **user}
    async with open_storage("oci://namespace/bucket", endpoint_url=CLOSED, **settings) as storage, storage.native():
        pass


async def github() -> None:
    app = {"auth_type": "app", "app_id": "1", "installation_id": "1", "private_key": private_key()}
    async with open_storage(
        "github://owner/repo/releases/tag", base_url=CLOSED, retry=RetryOptions(attempts=1), **app
    ) as storage:
        try:
            await storage.exists(storage.root / "asset")
        except UnavailableError:
            # Signing the request for a token worked.
            return


async def cli() -> None:
    command = [sys.executable, "-m", "asyncstore.cli", "--version"]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, printed = await process.communicate()
    if process.returncode:
        raise ConfigurationError(printed.decode())


async def otel() -> None:
    from asyncstore.integrations.otel import instrument

    async with instrument(open_storage("memory://bucket")) as storage:
        await storage.put("key", b"data")


async def fsspec() -> None:
    from asyncstore.integrations.fsspec import MemoryFileSystem

    filesystem = MemoryFileSystem(asynchronous=True)
    async with await filesystem.open_async("bucket/key", "wb") as file:
        await file.write(b"data")
    await filesystem.aclose()


async def zarr() -> None:
    from asyncstore.integrations.zarr import AsyncstoreStore

    store = AsyncstoreStore("memory://bucket")
    assert not await store.exists("zarr.json")
    store.close()


FORM = b'--XX\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\ndata\r\n--XX--\r\n'
FORM_TYPE = {"Content-Type": "multipart/form-data; boundary=XX"}


async def fastapi() -> None:
    from asyncstore.integrations.fastapi import StorageResponse, store_form  # isort: skip
    from starlette.requests import Request

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": FORM}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    sent: list[dict[str, object]] = []
    headers = [(name.lower().encode(), value.encode()) for name, value in FORM_TYPE.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
    async with open_storage("memory://bucket") as storage:
        await store_form(Request(scope, receive), storage, lambda part: part.filename, max_size=1000)
        await StorageResponse(storage, "a")(scope, asyncio.Event().wait, send)
    assert [message.get("body") for message in sent] == [None, b"data", b""]


async def aiohttp() -> None:
    from aiohttp import ClientSession, web

    from asyncstore.integrations.aiohttp import problems, send_object, storage_context, store_form

    key = web.AppKey("storage", Storage)
    failed: list[Exception] = []

    async def upload(request: web.Request) -> web.Response:
        try:
            await store_form(request, request.app[key], lambda part: part.filename, max_size=1000)
        except ModuleNotFoundError as error:
            failed.append(error)
        return web.Response()

    async def download(request: web.Request) -> web.StreamResponse:
        return await send_object(request, request.app[key], "a")

    app = web.Application(middlewares=[problems])
    app.cleanup_ctx.append(storage_context(key, "memory://bucket"))
    app.router.add_post("/", upload)
    app.router.add_get("/", download)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with ClientSession() as session:
            await session.post(url, data=FORM, headers=FORM_TYPE)
            async with session.get(url) as reply:
                assert failed or await reply.read() == b"data"
    finally:
        await runner.cleanup()
    if failed:
        raise failed[0]


async def dask() -> None:
    from asyncstore.integrations.dask import DaskExecutor

    assert issubclass(DaskExecutor, Executor)


async def testing() -> None:
    import asyncstore.testing.conformance
    import asyncstore.testing.plugin  # noqa: F401


EXTRAS: dict[str, Callable[[], Awaitable[None]]] = {
    "s3": s3,
    "gcs": gcs,
    "azure": azure,
    "oci": oci,
    "github": github,
    "cli": cli,
    "otel": otel,
    "fsspec": fsspec,
    "zarr": zarr,
    "fastapi": fastapi,
    "aiohttp": aiohttp,
    "dask": dask,
    "testing": testing,
}


async def store_files() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for uri in ("memory://bucket", f"file://{folder}"):
            async with open_storage(uri) as storage:
                await storage.put(storage.root / "key", b"data")
                assert await storage.read(storage.root / "key") == b"data"


async def check(installed: str) -> None:
    await store_files()
    if installed != "none":
        await EXTRAS[installed]()
        return
    for name, use in EXTRAS.items():
        try:
            await use()
            message = "no error"
        except (ConfigurationError, ModuleNotFoundError) as error:
            message = str(error)
        assert f"asyncstore[{name}]" in message, f"without the extra {name}: {message}"


if __name__ == "__main__":
    asyncio.run(check(sys.argv[1]))
    print(f"{sys.argv[1]}: as documented")
