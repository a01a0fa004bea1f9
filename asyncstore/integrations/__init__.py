"""
Other packages' interfaces over storages; each needs the extra of its name.
"""
