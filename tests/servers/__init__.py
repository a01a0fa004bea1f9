"""
Servers that the tests talk to, on loopback: downloaded once, started on first use.

None of this is shipped. `fixtures.py` holds the pytest fixtures.
"""
