"""
Real servers for the tests, on loopback: fetched once, started when first asked for.

Test support only; nothing here is shipped. `fixtures.py` is what tests see.
"""
