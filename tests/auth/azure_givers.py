"""
What gives credentials of Azure and is no server: functions, objects, and a program.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from asyncstore.config import AuthConfig, HTTPOptions
from tests.auth.azure_service import FEDERATED, PASSWORD
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN

#: The key of an account, which is one and belongs to nobody.
FAKE_KEY = "RkFLRS1rZXktZm9yLXRlc3RzLW9ubHk="

#: What may never be shown.
SECRETS: tuple[str, ...] = (
    FAKE_SECRET,
    FAKE_TOKEN,
    PASSWORD,
    FEDERATED,
    FAKE_KEY,
    "FAKE-key-for-tests-only",
    "PRIVATE KEY",
)


@dataclass
class InProcess:
    """
    A function or an object that gives credentials, counted.
    """

    auth: AuthConfig = field(default_factory=AuthConfig)
    http: HTTPOptions | None = None
    secrets: tuple[str, ...] = SECRETS
    status: int = 200
    delay: float = 0.0
    ttl: float = 3600.0
    asked: int = 0

    def fetches(self) -> int:
        return self.asked

    async def give(self) -> int:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(self.delay)
        if self.status != 200:
            raise RuntimeError(f"no luck with client_secret={FAKE_SECRET}")
        return number

    def give_blocking(self) -> int:
        self.asked += 1
        number = self.asked
        time.sleep(self.delay)
        if self.status != 200:
            raise RuntimeError(f"no luck with client_secret={FAKE_SECRET}")
        return number


class FakeCLI:
    """
    A program that is called ``az``, and is told by a file what to do.
    """

    _SCRIPT = f"""#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/calls"
number=$(wc -l < "$here/calls" | tr -d ' ')
. "$here/control"
sleep "$DELAY"
if [ "$STATUS" != 200 ]; then
    echo "ERROR: AADSTS700082: expired, client_secret={FAKE_SECRET}" >&2
    exit 1
fi
printf '{{"accessToken": "{FAKE_TOKEN}-%s", "tokenType": "Bearer", "expires_on": %s}}' \\
    "$number" "$(( $(date +%s) + TTL ))"
"""

    def __init__(self, folder: Path, auth: AuthConfig) -> None:
        self.auth = auth
        self.http: HTTPOptions | None = None
        self.secrets = SECRETS
        self._folder = folder
        self._told = {"STATUS": 200.0, "DELAY": 0.0, "TTL": 3600.0}
        folder.mkdir()
        (folder / "az").write_text(self._SCRIPT)
        (folder / "az").chmod(0o755)
        self._tell()

    def calls(self) -> list[str]:
        file = self._folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def fetches(self) -> int:
        return len(self.calls())

    def _tell(self, **values: float) -> None:
        self._told |= values
        (self._folder / "control").write_text("".join(f"{name}={value:g}\n" for name, value in self._told.items()))

    @property
    def status(self) -> int:
        return int(self._told["STATUS"])

    @status.setter
    def status(self, value: int) -> None:
        self._tell(STATUS=value)

    @property
    def delay(self) -> float:
        return self._told["DELAY"]

    @delay.setter
    def delay(self, value: float) -> None:
        self._tell(DELAY=value)

    @property
    def ttl(self) -> float:
        return self._told["TTL"]

    @ttl.setter
    def ttl(self, value: float) -> None:
        # A shell counts in whole numbers.
        self._tell(TTL=round(value))
