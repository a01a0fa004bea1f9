"""
GitHub releases: a repository's assets as objects, with keys ``tag/asset``.

What other providers do with one request needs several here, since GitHub knows
assets by number: the release is looked up by its tag, the asset is found in it,
and its bytes come from another host, by a link that is good for a few minutes.
"""

from asyncstore.drivers.github.driver import CAPABILITIES as CAPABILITIES
from asyncstore.drivers.github.driver import GitHubDriver as GitHubDriver
from asyncstore.drivers.github.driver import open_driver as open_driver
