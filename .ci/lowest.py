"""
Print the lowest versions that a project allows, as constraints for pip.
"""

import re
import sys
import tomllib
from pathlib import Path

# What the tests themselves need may be newer: it is not part of any promise.
PROMISED = ("s3", "gcs", "azure", "oci", "github", "cli", "testing")

# This one goes with aiobotocore, since both need the same botocore.
TIED = ("boto3",)


def main(path: str) -> None:
    project = tomllib.loads(Path(path).read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    tied = [item for item in extras["dev"] if item.startswith(TIED)]
    for requirement in [*project["dependencies"], *(item for name in PROMISED for item in extras[name]), *tied]:
        name, lowest = re.fullmatch(r"([\w.-]+)(?:\[[^\]]*\])?>=([\w.]+)", requirement).groups()
        print(f"{name}=={lowest}")


if __name__ == "__main__":
    main(sys.argv[1])
