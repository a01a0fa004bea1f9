"""
The storage that users work with: the objects of one provider under a bucket or prefix.
"""

from asyncstore.storage.opening import open_storage as open_storage
from asyncstore.storage.storage import Storage as Storage
