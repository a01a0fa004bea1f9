"""
Tests of what docs/examples shows.
"""
