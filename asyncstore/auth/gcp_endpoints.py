"""
Where Google's services are, in its own cloud and in others that run its software.
"""

from __future__ import annotations

import os

from yarl import URL

from asyncstore.auth.gcp_identity import UNIVERSE


def emulator_host() -> str | None:
    """
    Return ``STORAGE_EMULATOR_HOST``, which Google's own clients read; plain HTTP if it names no scheme.
    """
    host = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    if not host:
        return None
    return host if "://" in host else f"http://{host}"


def storage_endpoint(universe_domain: str | None) -> str:
    """
    Return the address of Cloud Storage in that cloud, else in the one that the environment names.
    """
    return f"https://storage.{universe_domain or os.environ.get('GOOGLE_CLOUD_UNIVERSE_DOMAIN') or UNIVERSE}"


def iam_endpoint(universe_domain: str) -> str:
    """
    Return the address of the IAM Credentials API.

    https://cloud.google.com/iam/docs/reference/credentials/rest
    """
    return f"https://iamcredentials.{universe_domain}"


def is_service(url: URL, universe_domain: str) -> bool:
    """
    Whether *url* is an address of a service of that cloud, over TLS.

    >>> is_service(URL("https://bucket.storage.googleapis.com/name"), "googleapis.com")
    True
    """
    return url.scheme == "https" and url.port == 443 and (url.raw_host or "").endswith(f".{universe_domain}")
