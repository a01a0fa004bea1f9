"""
Servers that stand in for the providers that have no published emulator.

In a test, or beside a program under development::

    async with GCSServer() as server:
        storage = open_storage("gs://bucket", endpoint_url=server.url, ...)

From a shell, for any client in any language: ``python -m asyncstore.testing.servers gcs``.

They check what the service checks (signatures, tokens, preconditions, checksums
and limits) and answer with its error codes. They listen on loopback only.
"""
