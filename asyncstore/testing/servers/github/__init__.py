"""
GitHub, as far as releases and their assets go.
"""

from asyncstore.testing.servers.github.apps import App as App
from asyncstore.testing.servers.github.server import FAKE_TOKEN as FAKE_TOKEN
from asyncstore.testing.servers.github.server import GitHubServer as GitHubServer
