"""
Opening credentials: the factory of a provider is found and imported when it is needed.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module
from typing import Any, Final, Protocol

from asyncstore.auth.credentials import Credentials
from asyncstore.auth.opening import Opening
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError
from asyncstore.threads import in_thread

#: The group under which other packages announce theirs: provider = "module:factory".
ENTRY_POINTS: Final = "asyncstore.auth"

#: Where the factory of each provider is.
BUILT_IN: Final = {
    "s3": "asyncstore.auth.aws:aws_credentials",
    "azure": "asyncstore.auth.azure:azure_credentials",
    "gcs": "asyncstore.auth.gcp:gcp_credentials",
    "github": "asyncstore.auth.github:github_credentials",
    "oci": "asyncstore.auth.oci:oci_credentials",
}

#: What people call the providers, the schemes of their URIs included.
ALIASES: Final = {"aws": "s3", "az": "azure", "gcp": "gcs", "google": "gcs", "gs": "gcs"}


class AuthFactory(Protocol):
    """
    Makes the credentials of one provider; reads and sends nothing.

    It takes what it knows out of *settings* and leaves the rest; of the settings of
    *auth* it has to know all.
    """

    def __call__(
        self,
        auth: AuthConfig | None = None,
        settings: MutableMapping[str, Any] | None = None,
        *,
        http: HTTPOptions | None = None,
    ) -> Credentials[Any]:
        """
        Return credentials as *auth* and *settings* ask for.

        Args:
            http: Whom to trust where tokens are asked for, and which proxy leads there.

        Raises:
            ConfigurationError: A setting is unknown, missing or contradicts another.
        """
        ...


def connect_auth(auth: AuthConfig, *, http: HTTPOptions | None = None) -> Opening[Credentials[Any]]:
    """
    Obtain credentials, for use with a storage's own provider or without any storage.

    What comes of it is awaited, or used with ``async with``. The first credentials
    are fetched at once, so that what is wrong shows here; later ones as needed::

        async with connect_auth(AuthConfig(provider="aws", auth_type="profile")) as credentials:
            async with credentials.http_client() as session:
                ...

    Args:
        http: Whom to trust where tokens are asked for, and which proxy leads there.

    Raises:
        ConfigurationError: There is no such provider or method, or its settings do
            not fit.
        UnauthenticatedError: The provider gives no credentials.
        UnavailableError: The provider could not be reached.
    """
    if auth.provider is None:
        raise ConfigurationError(f"AuthConfig names no provider; there are {', '.join(sorted(BUILT_IN))}")
    provider = auth.provider

    async def connect() -> Credentials[Any]:
        # It imports, and looks through all packages for a provider that is not ours.
        factory = await in_thread(find_factory, provider)
        credentials = factory(auth, http=http)
        try:
            await credentials.get()
        except BaseException:
            await credentials.aclose()
            raise
        return credentials

    return Opening(connect)


def find_factory(provider: str) -> AuthFactory:
    """
    Return what makes the credentials of *provider*.

    Raises:
        ConfigurationError: There is none, or it cannot be imported.
    """
    name = ALIASES.get(provider, provider)
    target = BUILT_IN.get(name)
    if target is not None:
        module, _, function = target.partition(":")
        factory: AuthFactory = getattr(import_module(module), function)
        return factory
    # Imported here: it takes longer than many a small module of ours.
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        announced: AuthFactory = entry.load()
        return announced
    others = {entry.name for entry in entry_points(group=ENTRY_POINTS)}
    raise ConfigurationError(
        f"there are no credentials for {provider!r}; there are some for {sorted({*BUILT_IN, *others})}, and packages "
        f"can add theirs under the entry points {ENTRY_POINTS!r}"
    )
