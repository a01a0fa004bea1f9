"""
One asyncio interface to object storage, for every cloud.
"""

from asyncstore.auth.factories import connect_auth as connect_auth
from asyncstore.config import AuthConfig as AuthConfig
from asyncstore.config import HTTPOptions as HTTPOptions
from asyncstore.config import RetryOptions as RetryOptions
from asyncstore.config import StorageConfig as StorageConfig
from asyncstore.config import from_environment as from_environment
from asyncstore.driver import Capabilities as Capabilities
from asyncstore.encryption import Encryption as Encryption
from asyncstore.engine.download.decoded import DecodedReader as DecodedReader
from asyncstore.engine.download.reader import ObjectReader as ObjectReader
from asyncstore.engine.limits import Statistics as Statistics
from asyncstore.engine.progress import Transfer as Transfer
from asyncstore.engine.progress import track as track
from asyncstore.engine.upload.encoded import EncodedWriter as EncodedWriter
from asyncstore.engine.upload.writer import ObjectWriter as ObjectWriter
from asyncstore.errors import AlreadyExistsError as AlreadyExistsError
from asyncstore.errors import ConfigurationError as ConfigurationError
from asyncstore.errors import DeadlineExceededError as DeadlineExceededError
from asyncstore.errors import IntegrityError as IntegrityError
from asyncstore.errors import InUseError as InUseError
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
from asyncstore.options import PostOptions as PostOptions
from asyncstore.options import PresignOptions as PresignOptions
from asyncstore.options import ReadOptions as ReadOptions
from asyncstore.options import UploadOptions as UploadOptions
from asyncstore.options import WriteOptions as WriteOptions
from asyncstore.protocols import AsyncStorage as AsyncStorage
from asyncstore.protocols import BulkStorage as BulkStorage
from asyncstore.protocols import MultipartCapable as MultipartCapable
from asyncstore.protocols import ProgressSink as ProgressSink
from asyncstore.protocols import ReadStream as ReadStream
from asyncstore.protocols import RetentionCapable as RetentionCapable
from asyncstore.protocols import SigningCapable as SigningCapable
from asyncstore.protocols import TaggingCapable as TaggingCapable
from asyncstore.protocols import VersionedCapable as VersionedCapable
from asyncstore.retention import Retention as Retention
from asyncstore.storage import Storage as Storage
from asyncstore.storage.compare import Difference as Difference
from asyncstore.storage.compare import SyncOptions as SyncOptions
from asyncstore.storage.compare import compare_trees as compare_trees
from asyncstore.storage.copy_between import copy_between as copy_between
from asyncstore.storage.opening import open_storage as open_storage
from asyncstore.storage.safe_path import safe_path as safe_path
from asyncstore.storage.sync import SyncResult as SyncResult
from asyncstore.storage.sync import sync_tree as sync_tree
from asyncstore.storage.tree_options import TreeOptions as TreeOptions
from asyncstore.storage.tree_verbs import TreeResult as TreeResult
from asyncstore.storage.tree_verbs import copy_tree as copy_tree
from asyncstore.storage.tree_verbs import delete_tree as delete_tree
from asyncstore.storage.tree_verbs import download_tree as download_tree
from asyncstore.storage.tree_verbs import upload_tree as upload_tree
from asyncstore.storage.walk import TreeProblem as TreeProblem
from asyncstore.types import BulkResult as BulkResult
from asyncstore.types import Checksum as Checksum
from asyncstore.types import ChecksumAlgorithm as ChecksumAlgorithm
from asyncstore.types import CopyResult as CopyResult
from asyncstore.types import Download as Download
from asyncstore.types import ItemOutcome as ItemOutcome
from asyncstore.types import ListPage as ListPage
from asyncstore.types import Metadata as Metadata
from asyncstore.types import MultipartUpload as MultipartUpload
from asyncstore.types import ObjectInfo as ObjectInfo
from asyncstore.types import Part as Part
from asyncstore.types import PresignedPost as PresignedPost
from asyncstore.types import PresignedURL as PresignedURL
from asyncstore.types import ProgressEvent as ProgressEvent
from asyncstore.types import Upload as Upload
from asyncstore.types import WriteResult as WriteResult
from asyncstore.uri import ObjectURI as ObjectURI
from asyncstore.uri import Provider as Provider
from asyncstore.uri import parse_uri as parse_uri
from asyncstore.wrappers import cached as cached
from asyncstore.wrappers import read_only as read_only
from asyncstore.wrappers import replicated as replicated
from asyncstore.wrappers import routed as routed
from asyncstore.wrappers import throttled as throttled
from asyncstore.wrappers import under as under

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
    "CopyResult",
    "DeadlineExceededError",
    "DecodedReader",
    "DeleteOptions",
    "Difference",
    "Download",
    "DownloadOptions",
    "EncodedWriter",
    "Encryption",
    "GiB",
    "HTTPOptions",
    "InUseError",
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
    "ObjectReader",
    "ObjectURI",
    "ObjectWriter",
    "Part",
    "PermissionDeniedError",
    "PostOptions",
    "PreconditionFailedError",
    "PresignOptions",
    "PresignedPost",
    "PresignedURL",
    "ProgressEvent",
    "ProgressSink",
    "Provider",
    "QuotaExceededError",
    "RangeNotSatisfiableError",
    "ReadOptions",
    "ReadStream",
    "Retention",
    "RetentionCapable",
    "RetryOptions",
    "SigningCapable",
    "SourceChangedError",
    "Statistics",
    "Storage",
    "StorageConfig",
    "StorageError",
    "SyncOptions",
    "SyncResult",
    "TaggingCapable",
    "ThrottledError",
    "Transfer",
    "TreeOptions",
    "TreeProblem",
    "TreeResult",
    "UnauthenticatedError",
    "UnavailableError",
    "Upload",
    "UploadOptions",
    "VersionedCapable",
    "WriteOptions",
    "WriteResult",
    "__version__",
    "cached",
    "compare_trees",
    "connect_auth",
    "copy_between",
    "copy_tree",
    "delete_tree",
    "download_tree",
    "from_environment",
    "open_storage",
    "parse_uri",
    "read_only",
    "replicated",
    "routed",
    "safe_path",
    "sync_tree",
    "throttled",
    "track",
    "under",
    "upload_tree",
]
