"""
One asyncio interface to object storage, whatever the cloud.
"""

from asyncstore.auth.factories import connect_auth as connect_auth
from asyncstore.between import copy_between as copy_between
from asyncstore.config import AuthConfig as AuthConfig
from asyncstore.config import HTTPOptions as HTTPOptions
from asyncstore.config import RetryOptions as RetryOptions
from asyncstore.config import StorageConfig as StorageConfig
from asyncstore.driver import Capabilities as Capabilities
from asyncstore.engine.limits import Statistics as Statistics
from asyncstore.engine.progress import Transfer as Transfer
from asyncstore.engine.progress import track as track
from asyncstore.errors import AlreadyExistsError as AlreadyExistsError
from asyncstore.errors import ConfigurationError as ConfigurationError
from asyncstore.errors import DeadlineExceededError as DeadlineExceededError
from asyncstore.errors import IntegrityError as IntegrityError
from asyncstore.errors import InvalidRequestError as InvalidRequestError
from asyncstore.errors import InvalidURIError as InvalidURIError
from asyncstore.errors import NotFoundError as NotFoundError
from asyncstore.errors import NotModifiedError as NotModifiedError
from asyncstore.errors import NotSupportedError as NotSupportedError
from asyncstore.errors import PermissionDeniedError as PermissionDeniedError
from asyncstore.errors import PreconditionFailedError as PreconditionFailedError
from asyncstore.errors import QuotaExceededError as QuotaExceededError
from asyncstore.errors import RangeNotSatisfiableError as RangeNotSatisfiableError
from asyncstore.errors import SourceChangedError as SourceChangedError
from asyncstore.errors import StorageError as StorageError
from asyncstore.errors import ThrottledError as ThrottledError
from asyncstore.errors import UnauthenticatedError as UnauthenticatedError
from asyncstore.errors import UnavailableError as UnavailableError
from asyncstore.options import BulkOptions as BulkOptions
from asyncstore.options import ByteRange as ByteRange
from asyncstore.options import CopyOptions as CopyOptions
from asyncstore.options import DeleteOptions as DeleteOptions
from asyncstore.options import DownloadOptions as DownloadOptions
from asyncstore.options import GiB as GiB
from asyncstore.options import KiB as KiB
from asyncstore.options import ListOptions as ListOptions
from asyncstore.options import MiB as MiB
from asyncstore.options import ReadOptions as ReadOptions
from asyncstore.options import UploadOptions as UploadOptions
from asyncstore.options import WriteOptions as WriteOptions
from asyncstore.protocols import AsyncStorage as AsyncStorage
from asyncstore.protocols import BulkStorage as BulkStorage
from asyncstore.protocols import MultipartCapable as MultipartCapable
from asyncstore.protocols import ProgressSink as ProgressSink
from asyncstore.protocols import ReadStream as ReadStream
from asyncstore.protocols import SigningCapable as SigningCapable
from asyncstore.protocols import TaggingCapable as TaggingCapable
from asyncstore.protocols import VersionedCapable as VersionedCapable
from asyncstore.registry import open_storage as open_storage
from asyncstore.storage import Storage as Storage
from asyncstore.types import BulkResult as BulkResult
from asyncstore.types import Checksum as Checksum
from asyncstore.types import ChecksumAlgorithm as ChecksumAlgorithm
from asyncstore.types import Download as Download
from asyncstore.types import ItemOutcome as ItemOutcome
from asyncstore.types import ListPage as ListPage
from asyncstore.types import Metadata as Metadata
from asyncstore.types import MultipartUpload as MultipartUpload
from asyncstore.types import ObjectInfo as ObjectInfo
from asyncstore.types import Part as Part
from asyncstore.types import ProgressEvent as ProgressEvent
from asyncstore.types import Upload as Upload
from asyncstore.uri import ObjectURI as ObjectURI
from asyncstore.uri import Provider as Provider
from asyncstore.uri import parse_uri as parse_uri

__version__ = "0.1.0"

__all__ = [
    "AlreadyExistsError",
    "AsyncStorage",
    "AuthConfig",
    "BulkOptions",
    "BulkResult",
    "BulkStorage",
    "ByteRange",
    "Capabilities",
    "Checksum",
    "ChecksumAlgorithm",
    "ConfigurationError",
    "CopyOptions",
    "DeadlineExceededError",
    "DeleteOptions",
    "Download",
    "DownloadOptions",
    "GiB",
    "HTTPOptions",
    "IntegrityError",
    "InvalidRequestError",
    "InvalidURIError",
    "ItemOutcome",
    "KiB",
    "ListOptions",
    "ListPage",
    "Metadata",
    "MiB",
    "MultipartCapable",
    "MultipartUpload",
    "NotFoundError",
    "NotModifiedError",
    "NotSupportedError",
    "ObjectInfo",
    "ObjectURI",
    "Part",
    "PermissionDeniedError",
    "PreconditionFailedError",
    "ProgressEvent",
    "ProgressSink",
    "Provider",
    "QuotaExceededError",
    "RangeNotSatisfiableError",
    "ReadOptions",
    "ReadStream",
    "RetryOptions",
    "SigningCapable",
    "SourceChangedError",
    "Statistics",
    "Storage",
    "StorageConfig",
    "StorageError",
    "TaggingCapable",
    "ThrottledError",
    "Transfer",
    "UnauthenticatedError",
    "UnavailableError",
    "Upload",
    "UploadOptions",
    "VersionedCapable",
    "WriteOptions",
    "__version__",
    "connect_auth",
    "copy_between",
    "open_storage",
    "parse_uri",
    "track",
]
