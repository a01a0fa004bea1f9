"""
HTTP for providers: requests that are signed, sent and recovered by one loop, and replies about objects.
"""

from asyncstore.http.client import HTTPClient as HTTPClient
from asyncstore.http.clock import ServerClock as ServerClock
from asyncstore.http.driver import HTTPDriver as HTTPDriver
from asyncstore.http.exchange import Anonymous as Anonymous
from asyncstore.http.exchange import Exchange as Exchange
from asyncstore.http.exchange import Request as Request
from asyncstore.http.object_reply import object_body as object_body
from asyncstore.http.origin import Origin as Origin
from asyncstore.http.reply import Reply as Reply
from asyncstore.http.reply_body import ReplyBody as ReplyBody
