"""
What all providers share: retries, limits, multipart transfers, bulk operations and progress.

The engine does not know providers: it plans with a driver's ``capabilities`` and sends
every request through :class:`asyncstore.engine.requests.Requests`.
"""
