"""
Authentication: obtains credentials, refreshes them, and puts them on requests.
"""
