"""
Sessions of aiobotocore that use our credentials.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, Final

import anyio.to_thread

from asyncstore._support.redact import redact
from asyncstore.auth.aws.sigv4 import AWSKeys
from asyncstore.errors import ConfigurationError

# Loggers that print whole requests and replies at DEBUG, including secrets.
_LOGGERS: Final = ("botocore.parsers", "botocore.endpoint", "botocore.auth", "botocore.hooks", "botocore.httpsession")


async def botocore_session(feed: Any, *, region: str | None, anonymous: bool) -> Any:
    """
    Return an aiobotocore session that calls *feed* for credentials whenever it signs.
    """
    return await anyio.to_thread.run_sync(_botocore_session, feed, region, anonymous)


def _botocore_session(feed: Any, region: str | None, anonymous: bool) -> Any:
    try:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession
        from botocore import UNSIGNED
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise ConfigurationError("the native client needs aiobotocore: pip install 'asyncstore[s3]'") from None
    _redact_logs()
    session = AioSession()
    try:
        # Otherwise it reads the shared files on the event loop, when it makes its first client.
        _ = session.full_config
    except BotoCoreError as exc:
        raise ConfigurationError(f"the native client cannot read AWS's shared files: {type(exc).__name__}") from None
    session.register_component("credential_provider", _Feed(feed))
    if region is not None:
        session.set_config_variable("region", region)
    # The default presigner uses the old signature in some regions.
    version = UNSIGNED if anonymous else "s3v4"
    session.set_default_client_config(AioConfig(signature_version=version, warm_up_loader_caches=True))
    return session


class _Feed:
    """
    A resolver and its credentials in one, as botocore expects them.
    """

    method = "asyncstore"

    def __init__(self, keys: Callable[[], Coroutine[Any, Any, AWSKeys]]) -> None:
        self._keys = keys

    async def load_credentials(self) -> _Feed:
        return self

    async def get_frozen_credentials(self) -> Any:
        from botocore.credentials import ReadOnlyCredentials

        keys = await self._keys()
        return ReadOnlyCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token)

    async def get_account_id(self) -> None:
        return None

    def get_deferred_property(self, name: str) -> Callable[[], None]:
        # Botocore only requests the account id, which S3 does not need.
        return lambda: None


class _Redacting(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        # A body can hold secrets in any form.
        record.msg = "Response body: ***" if text.startswith("Response body") else redact(text)
        record.args = None
        return True


@cache
def _redact_logs() -> None:
    """
    Remove secrets from the log messages of the SDK.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_Redacting())
