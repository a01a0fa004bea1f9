"""The clouds to measure, their contenders, and the credentials they sign with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# The server checks no signatures, so these keys give access to nothing.
_FAKE_ACCOUNT_KEY: Final = "ZmFrZS1rZXktb2YtdGhlLWJlbmNobWFya3Mtd2hpY2gtb3BlbnMtbm90aGluZy1hdC1hbGwtMDEyMw=="
_FAKE_KEY_ID: Final = "ocid1.tenancy.oc1..fake/ocid1.user.oc1..fake/20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """
    One cloud.

    Attributes:
        name: The name on the command line and in module names.
        title: The name in tables.
        contenders: The names of their modules, without the cloud.
        sdk: The contender to which the CPU of the others is compared.
        packages: Packages whose versions a table names.
        access_key: The key id or account that signs; empty if a token identifies it.
        secret_key: The key or token; empty for a key that is generated for the run.
        account: The account or namespace before the bucket in the path.
    """

    name: str
    title: str
    contenders: Sequence[str]
    sdk: str
    packages: Sequence[str]
    access_key: str = ""
    secret_key: str = ""
    account: str = ""


S3: Final = Cloud(
    name="s3",
    title="S3",
    contenders=("asyncstore", "plain_aiohttp", "tuned_aiohttp", "aiobotocore", "s3fs", "obstore", "opendal", "s5cmd"),
    sdk="aiobotocore",
    packages=("aiobotocore", "botocore", "s3fs", "obstore", "opendal"),
    access_key="AKIATESTADMIN",
    secret_key="secretadmin0123456789",
)
GCS: Final = Cloud(
    name="gcs",
    title="Google Cloud Storage",
    contenders=("asyncstore", "gcloud_aio", "gcsfs", "obstore"),
    sdk="gcloud_aio",
    packages=("gcloud-aio-storage", "gcsfs", "obstore"),
    secret_key="fake-token",
)
AZURE: Final = Cloud(
    name="azure",
    title="Azure Blob Storage",
    contenders=("asyncstore", "azure_sdk", "adlfs", "obstore"),
    sdk="azure_sdk",
    packages=("azure-storage-blob", "azure-core", "adlfs", "obstore"),
    access_key="benchaccount",
    secret_key=_FAKE_ACCOUNT_KEY,
    account="benchaccount",
)
OCI: Final = Cloud(
    name="oci",
    title="OCI Object Storage",
    contenders=("asyncstore", "oci_sdk", "ocifs"),
    sdk="oci_sdk",
    packages=("oci", "ocifs", "cryptography"),
    access_key=_FAKE_KEY_ID,
    account="benchnamespace",
)

CLOUDS: Final[Mapping[str, Cloud]] = {cloud.name: cloud for cloud in (S3, GCS, AZURE, OCI)}
