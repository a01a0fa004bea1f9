"""
Servers that deviate from the services that they stand for, one deviation at a time.
"""
