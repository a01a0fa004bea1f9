"""
Addresses of Google's services, in the public cloud and in other universes.
"""

from __future__ import annotations

import os

from yarl import URL

from asyncstore.auth.gcp.identity import UNIVERSE


def emulator_host() -> str | None:
    """
    Return the URL in ``STORAGE_EMULATOR_HOST``, if it is set; without a scheme it means plain HTTP.
    """
    host = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    if not host:
        return None
    return host if "://" in host else f"http://{host}"


def storage_endpoint(universe_domain: str | None) -> str:
    """
    Return the URL of Cloud Storage in this universe, by default the one in the environment.
    """
    return f"https://storage.{universe_domain or os.environ.get('GOOGLE_CLOUD_UNIVERSE_DOMAIN') or UNIVERSE}"


def iam_endpoint(universe_domain: str) -> str:
    """
    Return the URL of the IAM Credentials API.

    https://cloud.google.com/iam/docs/reference/credentials/rest
    """
    return f"https://iamcredentials.{universe_domain}"


def is_service(url: URL, universe_domain: str) -> bool:
    """
    Return whether *url* is an HTTPS address of a service in this universe.

    >>> is_service(URL("https://bucket.storage.googleapis.com/name"), "googleapis.com")
    True
    """
    return url.scheme == "https" and url.port == 443 and (url.raw_host or "").endswith(f".{universe_domain}")
