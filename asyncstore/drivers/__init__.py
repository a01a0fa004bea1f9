"""
The drivers that come with the package, one module or folder for each provider.
"""
