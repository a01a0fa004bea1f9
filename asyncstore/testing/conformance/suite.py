"""
The whole suite.
"""

from __future__ import annotations

import pytest

from asyncstore.testing.conformance.aborting import Aborting
from asyncstore.testing.conformance.access import Access
from asyncstore.testing.conformance.attributes import Attributes
from asyncstore.testing.conformance.bulk import Bulk
from asyncstore.testing.conformance.cancelling import Cancelling
from asyncstore.testing.conformance.capabilities import CapabilityFlags
from asyncstore.testing.conformance.composed import Composed
from asyncstore.testing.conformance.concurrency import Concurrency
from asyncstore.testing.conformance.conditions import Conditions
from asyncstore.testing.conformance.copying import Copying
from asyncstore.testing.conformance.deleting import Deleting
from asyncstore.testing.conformance.encryption import Encrypted
from asyncstore.testing.conformance.files import Files
from asyncstore.testing.conformance.integrity import Integrity
from asyncstore.testing.conformance.keys import Keys
from asyncstore.testing.conformance.listing import Listing
from asyncstore.testing.conformance.multipart import Multipart
from asyncstore.testing.conformance.objects import Objects
from asyncstore.testing.conformance.opened_files import OpenedFiles
from asyncstore.testing.conformance.options import EachOption
from asyncstore.testing.conformance.paging import Paging
from asyncstore.testing.conformance.presigning import Presigning
from asyncstore.testing.conformance.progress import Progress
from asyncstore.testing.conformance.ranges import Ranges
from asyncstore.testing.conformance.reading_into import ReadingInto
from asyncstore.testing.conformance.results import Results
from asyncstore.testing.conformance.resuming import Resuming
from asyncstore.testing.conformance.retention import Retained
from asyncstore.testing.conformance.tags import Tags
from asyncstore.testing.conformance.trees import Trees
from asyncstore.testing.conformance.versions import Versions


# In both modes of pytest-asyncio.
@pytest.mark.asyncio
class StorageConformance(
    Access,
    Keys,
    Objects,
    Results,
    Ranges,
    ReadingInto,
    OpenedFiles,
    Conditions,
    Attributes,
    Tags,
    Encrypted,
    Retained,
    Versions,
    Listing,
    Paging,
    Deleting,
    Copying,
    Composed,
    Multipart,
    Aborting,
    Cancelling,
    Resuming,
    Integrity,
    Concurrency,
    Bulk,
    Trees,
    Files,
    Progress,
    Presigning,
    CapabilityFlags,
    EachOption,
):
    """
    The contract of a storage, as tests; see the package for how to use them.
    """
