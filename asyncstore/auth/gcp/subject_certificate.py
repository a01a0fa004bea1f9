"""
Workloads that identify themselves with an X.509 certificate, over mutual TLS.

https://cloud.google.com/iam/docs/workload-identity-federation-with-x509-certificates
"""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from asyncstore._support.threads import in_thread
from asyncstore.auth.gcp.subject import SubjectToken
from asyncstore.auth.key_files import read_key_file, warn_if_shared
from asyncstore.config import HTTPOptions
from asyncstore.errors import ConfigurationError
from asyncstore.http.session import tls_of

#: The file that names the certificate, unless the document names one.
CONFIG_VARIABLE: Final = "GOOGLE_API_CERTIFICATE_CONFIG"
_CONFIG_NAME: Final = "certificate_config.json"

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CertificateToken(SubjectToken):
    """
    The certificates of a workload as a subject token: the leaf first, each as base64 of its DER.

    The files are read for every exchange, because certificates are rotated.

    Args:
        described: The ``certificate`` of a ``credential_source``.
        folder: gcloud's folder of configuration.

    Raises:
        ConfigurationError: *described* does not name one file with the paths of certificate and key.
    """

    def __init__(self, described: Any, folder: Path, http: HTTPOptions | None) -> None:
        table = described if isinstance(described, Mapping) else {}
        self._file, default = table.get("certificate_config_location"), table.get("use_default_certificate_config")
        if bool(self._file) == bool(default):
            raise ConfigurationError(
                "the certificate of a credential_source needs either certificate_config_location, "
                "or use_default_certificate_config set to true"
            )
        self._chain = table.get("trust_chain_path")
        self._folder = folder
        self._http = http or HTTPOptions()
        if self._http.ssl_context is not None:
            # Adding the certificate to it would present it to Cloud Storage too.
            raise ConfigurationError("an ssl_context cannot be used with a certificate credential_source: set ca_file")

    async def fetch(self, clock_offset: float) -> str:
        return await in_thread(self._token)

    async def client_tls(self) -> ssl.SSLContext:
        return await in_thread(self._context)

    def _token(self) -> str:
        certificate, _ = self._paths()
        leaf = _certificates(certificate)[0]
        chain = _certificates(self._chain) if self._chain else []
        if leaf in chain[1:]:
            raise ConfigurationError(f"the workload's certificate must be the first one in {self._chain}")
        return json.dumps([leaf, *[one for one in chain if one != leaf]])

    def _context(self) -> ssl.SSLContext:
        certificate, key = self._paths()
        verified = tls_of(self._http)
        context = verified if isinstance(verified, ssl.SSLContext) else ssl.create_default_context()
        if verified is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        warn_if_shared(key)
        try:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or type(exc).__name__
            raise ConfigurationError(f"{certificate} and {key} are not a certificate and its key: {reason}") from None
        return context

    def _paths(self) -> tuple[str, str]:
        file = Path(self._file or os.environ.get(CONFIG_VARIABLE) or self._folder / _CONFIG_NAME).expanduser()
        if not self._file and not file.is_file():
            raise ConfigurationError(
                f"{file} does not exist: name the configuration of the certificate in {CONFIG_VARIABLE}, "
                "or use another credential_source, with file, url, environment_id or executable"
            )
        content = read_key_file(file, "certificate configuration", warn=False)
        try:
            workload = json.loads(content)["cert_configs"]["workload"]
            certificate, key = workload["cert_path"], workload["key_path"]
        except (KeyError, TypeError, ValueError):
            certificate = key = None
        if not (isinstance(certificate, str) and certificate and isinstance(key, str) and key):
            raise ConfigurationError(f"{file} has no cert_configs.workload with cert_path and key_path")
        return certificate, key


def _certificates(path: str) -> list[str]:
    text = read_key_file(path, "certificate", warn=False).decode("ascii", "replace")
    try:
        found = [ssl.PEM_cert_to_DER_cert(block) for block in _PEM.findall(text)]
    except ValueError:
        found = []
    if not found:
        raise ConfigurationError(f"{path} has no certificate in PEM")
    return [base64.b64encode(one).decode("ascii") for one in found]
