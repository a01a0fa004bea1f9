"""
The XML of GCS's requests, written without surprises.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape


def completion(parts: Iterable[tuple[int, str]]) -> bytes:
    """
    Return the body that completes an upload, from the number and ETag of each part.
    """
    elements = [
        f'<Part><PartNumber>{number}</PartNumber><ETag>"{escape(etag)}"</ETag></Part>' for number, etag in parts
    ]
    return f"<CompleteMultipartUpload>{''.join(elements)}</CompleteMultipartUpload>".encode()
