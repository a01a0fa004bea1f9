"""
Tools for testing asyncstore, and for testing programs that use it.
"""
