"""
A certificate authority for one test run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class ThrowawayCA:
    """
    Files for TLS on loopback.

    Attributes:
        ca_file: Certificate that a client must trust.
        cert_file, key_file: For a server at 127.0.0.1 or localhost.
    """

    ca_file: Path
    cert_file: Path
    key_file: Path


def make_ca(folder: Path) -> ThrowawayCA:
    """Write a new authority and one server certificate into *folder*."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    made = ThrowawayCA(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(made.ca_file)
    made.cert_file.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(made.key_file)
    return made
