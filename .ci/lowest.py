"""
Print the lowest allowed versions of a project's dependencies, as constraints for pip.
"""

import re
import sys
import tomllib
from pathlib import Path

# Only these extras work with their lowest versions; the tools of the tests may be newer.
PROMISED = ("s3", "gcs", "azure", "oci", "github", "cli", "otel", "fsspec", "zarr", "fastapi", "aiohttp", "testing")

# Installed in a version that needs the same botocore as aiobotocore.
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
