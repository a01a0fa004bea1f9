"""
Print the lowest versions that a project allows, as constraints for pip.
"""

import re
import sys
import tomllib
from pathlib import Path

# What the tests themselves need may be newer: it is not part of any promise.
PROMISED = ("s3", "cli", "testing")


def main(path: str) -> None:
    project = tomllib.loads(Path(path).read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(item for name in PROMISED for item in extras[name])]:
        name, lowest = re.fullmatch(r"([\w.-]+)(?:\[[^\]]*\])?>=([\w.]+)", requirement).groups()
        print(f"{name}=={lowest}")


if __name__ == "__main__":
    main(sys.argv[1])
