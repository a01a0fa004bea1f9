"""
A storage with a read-through cache: in memory, or in a directory that many processes share.
"""
