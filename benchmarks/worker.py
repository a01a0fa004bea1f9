"""
Measure one contender, cloud and kind of work in this process, and print one line of JSON.

    python -m benchmarks.worker obstore s3 small_get '{"endpoint": "http://127.0.0.1:9000", ...}'

With `@uvloop` at the end of the contender's name, it runs on that event loop.
"""

import asyncio
import json
import os
import sys
from typing import Any

from benchmarks import contenders
from benchmarks.contenders import Contender, NotSupportedError, Target
from benchmarks.meter import Meter
from benchmarks.work import QUESTIONS


def main() -> None:
    """Do the work named on the command line."""
    contender, cloud, question, text = sys.argv[1:]
    name, _, loop = contender.partition("@")
    args: dict[str, Any] = json.loads(text)
    try:
        answer = _runner(loop).run(_answer(name, cloud, question, Target(**args.pop("target")), args))
    except NotSupportedError as exc:
        answer = {"unsupported": str(exc)}
    print(json.dumps(answer), flush=True)
    # Nothing after this is measured, and some contenders occasionally crash while the
    # interpreter shuts down under their threads.
    os._exit(0)


def _runner(loop: str) -> asyncio.Runner:
    if not loop:
        return asyncio.Runner()
    import uvloop

    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


async def _answer(name: str, cloud: str, question: str, target: Target, args: dict[str, Any]) -> dict[str, Any]:
    ask = QUESTIONS[question](**args)
    contender: Contender = await contenders.load(name, cloud).connect(target)
    try:
        if contender.keeps_connections:
            await ask.warm_up(contender)
        with Meter(children=name == "s5cmd") as meter:
            await ask.run(contender)
        ask.check()
    finally:
        await contender.aclose()
    return {**meter.cost(), "units": ask.units}


if __name__ == "__main__":
    main()
