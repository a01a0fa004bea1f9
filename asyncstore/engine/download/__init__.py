"""
Downloads and reads: whole objects, ranges and streams, verified and resumed.
"""
