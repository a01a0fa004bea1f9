"""
Opens credentials; the factory of a provider is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module
from typing import Any, Final, Protocol

from asyncstore._support.awaitable_context import Opening
from asyncstore._support.threads import in_thread
from asyncstore.auth.credentials import Credentials
from asyncstore.config import AuthConfig, HTTPOptions
from asyncstore.errors import ConfigurationError

#: Entry-point group in which other packages register theirs: provider = "module:factory".
ENTRY_POINTS: Final = "asyncstore.auth"

#: The factory of each provider.
BUILT_IN: Final = {
    "s3": "asyncstore.auth.aws.credentials:aws_credentials",
    "azure": "asyncstore.auth.azure.credentials:azure_credentials",
    "gcs": "asyncstore.auth.gcp.credentials:gcp_credentials",
    "github": "asyncstore.auth.github.credentials:github_credentials",
    "oci": "asyncstore.auth.oci.credentials:oci_credentials",
}

#: Other names of the providers, including the schemes of their URIs.
ALIASES: Final = {"aws": "s3", "az": "azure", "gcp": "gcs", "google": "gcs", "gs": "gcs"}


class AuthFactory(Protocol):
    """
    Creates the credentials of one provider; reads and sends nothing.

    It removes the settings that it knows from *settings* and leaves the others. It must
    know all settings of *auth*.
    """

    def __call__(
        self,
        auth: AuthConfig | None = None,
        settings: MutableMapping[str, Any] | None = None,
        *,
        http: HTTPOptions | None = None,
    ) -> Credentials[Any]:
        """
        Return the credentials that *auth* and *settings* describe.

        Args:
            http: TLS and proxy settings for requesting tokens.

        Raises:
            ConfigurationError: A setting is unknown, missing or contradicts another.
        """
        ...


def connect_auth(auth: AuthConfig, *, http: HTTPOptions | None = None) -> Opening[Credentials[Any]]:
    """
    Obtain credentials for use without a storage, or for several storages.

    Await the result, or use it with ``async with``. The first token or keys are fetched
    at once, so errors show here; they are refreshed as needed::

        async with connect_auth(AuthConfig(provider="aws", auth_type="profile")) as credentials:
            async with credentials.http_client() as session:
                ...

    Args:
        http: TLS and proxy settings for requesting tokens.

    Raises:
        ConfigurationError: The provider or method does not exist, or a setting is not valid.
        UnauthenticatedError: The provider issues no credentials.
        UnavailableError: The provider could not be reached.
    """
    if not isinstance(auth, AuthConfig):
        raise TypeError(f'auth takes an AuthConfig, such as AuthConfig(provider="aws"), not {type(auth).__name__}')
    if auth.provider is None:
        raise ConfigurationError(f"AuthConfig needs a provider: one of {', '.join(sorted(BUILT_IN))}")
    provider = auth.provider

    async def connect() -> Credentials[Any]:
        # It imports modules, and may search all installed packages.
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
    Return the factory for *provider*; blocks.

    Raises:
        ConfigurationError: No package has one.
    """
    name = ALIASES.get(provider, provider)
    target = BUILT_IN.get(name)
    if target is not None:
        module, _, function = target.partition(":")
        factory: AuthFactory = getattr(import_module(module), function)
        return factory
    # A slow import that built-in providers do not need.
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        announced: AuthFactory = entry.load()
        return announced
    others = {entry.name for entry in entry_points(group=ENTRY_POINTS)}
    raise ConfigurationError(
        f"no credentials for provider {provider!r}: known are {sorted({*BUILT_IN, *others})}; packages "
        f"can add their own with the entry points {ENTRY_POINTS!r}"
    )
