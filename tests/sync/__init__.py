"""
Tests of the blocking calls.
"""
