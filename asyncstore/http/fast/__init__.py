"""
The fast paths for large bodies, which rely on private names of aiohttp and asyncio.
"""
