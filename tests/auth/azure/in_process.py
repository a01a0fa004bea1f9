"""
Sources of Azure credentials that are not servers: functions, objects and a program.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from asyncstore.config import AuthConfig, HTTPOptions
from tests.auth.conftest import FAKE_SECRET, FAKE_TOKEN
from tests.servers.identity.azure import FEDERATED, PASSWORD

#: A well-formed account key that belongs to no account.
FAKE_KEY = "RkFLRS1rZXktZm9yLXRlc3RzLW9ubHk="

#: Texts that must never appear in output.
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
    A function or object that returns credentials and counts its calls.
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
    A fake ``az`` program, controlled by a file.
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
        self._control = {"STATUS": 200.0, "DELAY": 0.0, "TTL": 3600.0}
        folder.mkdir()
        (folder / "az").write_text(self._SCRIPT)
        (folder / "az").chmod(0o755)
        self._write_control()

    def calls(self) -> list[str]:
        file = self._folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def fetches(self) -> int:
        return len(self.calls())

    def _write_control(self, **values: float) -> None:
        self._control |= values
        (self._folder / "control").write_text("".join(f"{name}={value:g}\n" for name, value in self._control.items()))

    @property
    def status(self) -> int:
        return int(self._control["STATUS"])

    @status.setter
    def status(self, value: int) -> None:
        self._write_control(STATUS=value)

    @property
    def delay(self) -> float:
        return self._control["DELAY"]

    @delay.setter
    def delay(self, value: float) -> None:
        self._write_control(DELAY=value)

    @property
    def ttl(self) -> float:
        return self._control["TTL"]

    @ttl.setter
    def ttl(self, value: float) -> None:
        # Shell arithmetic has integers only.
        self._write_control(TTL=round(value))
