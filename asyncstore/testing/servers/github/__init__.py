"""
The stand-in server for GitHub releases and their assets.
"""

from asyncstore.testing.servers.github.apps import App as App
from asyncstore.testing.servers.github.server import FAKE_TOKEN as FAKE_TOKEN
from asyncstore.testing.servers.github.server import GitHubServer as GitHubServer
