"""
Redirects to presigned URLs.
"""

from __future__ import annotations

from datetime import timedelta

from asyncstore.integrations.http_serving.representation import Headers
from asyncstore.storage import Storage
from asyncstore.uri import ObjectURI


async def link(storage: Storage, uri: ObjectURI, method: str, expires: timedelta) -> tuple[int, Headers]:
    """
    Return the status and the headers of a redirect that keeps the method of the request.

    Raises:
        NotSupportedError: The provider does not sign URLs.
    """
    url = await storage.presign(uri, method=method, expires=expires)
    # 307: the method stays. The URL is a secret, for caches and for the pages that it leads to.
    return 307, {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
