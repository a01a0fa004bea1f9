"""
GitHub releases: a repository's assets as objects, with keys ``tag/asset``.

A read that takes one request elsewhere takes several here, since GitHub addresses assets by id:
the release is looked up by its tag, the asset by its name in the release, and its bytes come
from another host, through a link that is valid for a few minutes.
"""

from asyncstore.drivers.github.driver import CAPABILITIES as CAPABILITIES
from asyncstore.drivers.github.driver import GitHubDriver as GitHubDriver
from asyncstore.drivers.github.driver import open_driver as open_driver
