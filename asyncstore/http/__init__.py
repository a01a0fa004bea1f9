"""
Requests and replies over one pool of connections for each storage.
"""

from asyncstore.http.client import HTTPClient as HTTPClient
from asyncstore.http.reading import ReplyBody as ReplyBody
from asyncstore.http.reply import Reply as Reply
