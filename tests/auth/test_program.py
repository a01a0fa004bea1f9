"""
Programs that print credentials are limited in time and output, and leave nothing behind.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from asyncstore.auth.program import MAX_OUTPUT, run_program
from asyncstore.errors import ConfigurationError, UnauthenticatedError, UnavailableError


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


async def test_output_code_and_errors(tmp_path: Path) -> None:
    """
    All output is returned, with the requested directory and environment; ``repr`` shows none of it.
    """
    script = (
        "import os, sys; sys.stderr.write('why'); print(os.getcwd(), os.environ['FAKE_VARIABLE'], end=''); sys.exit(3)"
    )
    ended = await run_program(
        python(script), name="it", timeout=20, environment={"FAKE_VARIABLE": "x"}, directory=tmp_path, errors=True
    )

    assert (ended.code, ended.output, ended.errors) == (3, f"{tmp_path} x".encode(), b"why")
    assert "why" not in repr(ended)


async def test_nothing_is_run_by_a_shell(tmp_path: Path) -> None:
    """
    Shell syntax is an ordinary argument.
    """
    ended = await run_program(
        [*python("import sys; print(sys.argv[1:])"), f"$(touch {tmp_path}/made)", ";", "true"], name="it", timeout=20
    )

    assert b"$(touch" in ended.output
    assert list(tmp_path.iterdir()) == []


async def test_stderr_does_not_block_a_program() -> None:
    """
    A program that writes more to stderr than is kept exits nevertheless.
    """
    script = f"import sys; sys.stderr.write('x' * {4 * MAX_OUTPUT}); print('done', end='')"
    ended = await run_program(python(script), name="it", timeout=20, errors=True)

    assert ended.output == b"done"
    assert len(ended.errors) == MAX_OUTPUT


async def test_too_much_output() -> None:
    """
    A program that never stops printing is killed.
    """
    with pytest.raises(UnauthenticatedError, match="printed more"):
        await run_program(python("while True: print('x' * 4096)"), name="it", timeout=20, errors=True)


async def test_unknown_program() -> None:
    """
    A program that does not exist is a configuration error.
    """
    with pytest.raises(ConfigurationError, match="it cannot be started"):
        await run_program(["/nowhere/at/all"], name="it", timeout=20)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_timeout_and_cancellation(tmp_path: Path, cancelled: bool) -> None:
    """
    A program that hangs is killed with its children, on timeout and on cancellation.
    """
    file = tmp_path / "alive"
    child = f"import time\nwhile True: open({str(file)!r}, 'a').write('.'); time.sleep(0.05)"
    script = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"

    async def written() -> str:
        return await anyio.to_thread.run_sync(lambda: file.read_text() if file.exists() else "")

    with anyio.move_on_after(4) as scope:
        if cancelled:
            await run_program(python(script), name="it", timeout=20)
        else:
            with pytest.raises(UnavailableError, match="did not exit"):
                await run_program(python(script), name="it", timeout=3)
    last = await written()
    await anyio.sleep(0.3)

    assert scope.cancelled_caught is cancelled
    assert last
    assert await written() == last
