"""
Internal tools of every layer: threads, cleanup under cancellation, operating system errors, redaction.
"""
