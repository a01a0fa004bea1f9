"""AWS Signature Version 4 for requests with an unsigned payload."""

import hmac
import time
from hashlib import sha256

_UNSIGNED = "UNSIGNED-PAYLOAD"
_SIGNED_HEADERS = "host;x-amz-content-sha256;x-amz-date"


class Signer:
    """Signs requests to one host; the key derived for the day is cached."""

    def __init__(self, host: str, access_key: str, secret_key: str, region: str) -> None:
        self._host = host
        self._access_key = access_key
        self._secret_key = secret_key
        self._region = region
        self._second = 0
        self._date = ""
        self._key = hmac.new(b"", digestmod=sha256)
        self._scope = ""

    def headers(self, method: str, path: str, query: str = "") -> dict[str, str]:
        """Return the headers to send with a request for an encoded *path* and a sorted, encoded *query*."""
        self._refresh(int(time.time()))
        canonical = (
            f"{method}\n{path}\n{query}\nhost:{self._host}\nx-amz-content-sha256:{_UNSIGNED}\n"
            f"x-amz-date:{self._date}\n\n{_SIGNED_HEADERS}\n{_UNSIGNED}"
        )
        digest = sha256(canonical.encode()).hexdigest()
        mac = self._key.copy()
        mac.update(f"AWS4-HMAC-SHA256\n{self._date}\n{self._scope}\n{digest}".encode())
        return {
            "x-amz-date": self._date,
            "x-amz-content-sha256": _UNSIGNED,
            "Authorization": f"{self._prefix}{mac.hexdigest()}",
        }

    def _refresh(self, second: int) -> None:
        if second == self._second:
            return
        self._second = second
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        if date[:8] != self._date[:8]:
            self._derive(date[:8])
        self._date = date

    def _derive(self, day: str) -> None:
        self._scope = f"{day}/{self._region}/s3/aws4_request"
        self._prefix = (
            f"AWS4-HMAC-SHA256 Credential={self._access_key}/{self._scope}, SignedHeaders={_SIGNED_HEADERS}, Signature="
        )
        key = f"AWS4{self._secret_key}".encode()
        for text in (day, self._region, "s3", "aws4_request"):
            key = hmac.digest(key, text.encode(), "sha256")
        # Copying a keyed object saves two of the four hash blocks for each signature.
        self._key = hmac.new(key, digestmod=sha256)
