"""
What all providers share: retries, limits, parts, bulk work and progress.

The engine knows no provider: it plans with a driver's ``capabilities`` and sends
every request through :class:`asyncstore.engine.calls.Calls`.
"""
