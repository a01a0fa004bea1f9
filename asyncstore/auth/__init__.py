"""
Credentials: how to find them, renew them in time, and put them on requests.
"""
