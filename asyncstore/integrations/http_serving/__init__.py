"""
Objects over HTTP, without a web framework: what the helpers for Starlette, FastAPI and aiohttp share.

:mod:`~asyncstore.integrations.http_serving.download` answers GET and HEAD by RFC 9110,
:mod:`~asyncstore.integrations.http_serving.upload` and :mod:`~asyncstore.integrations.http_serving.forms` take request
bodies, :mod:`~asyncstore.integrations.http_serving.problems` makes errors into problem details, and
:mod:`~asyncstore.integrations.http_serving.events` sends progress as server-sent events.
"""
