"""
One asyncio interface to object storage, whatever the cloud.
"""
