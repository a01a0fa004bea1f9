"""The clouds that requests are measured against: who takes part, and what they sign with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# Which server answers checks nothing, so these open nothing anywhere.
_FAKE_ACCOUNT_KEY: Final = "ZmFrZS1rZXktb2YtdGhlLWJlbmNobWFya3Mtd2hpY2gtb3BlbnMtbm90aGluZy1hdC1hbGwtMDEyMw=="
_FAKE_KEY_ID: Final = "ocid1.tenancy.oc1..fake/ocid1.user.oc1..fake/20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """
    One cloud.

    Attributes:
        name: As the command line and the modules have it.
        title: As tables have it.
        contenders: By the names of their modules, without the cloud.
        sdk: The contender whose CPU the others' is divided by.
        packages: Whose versions a table names.
        access_key: Who signs: a key's id, an account; empty where a token says it.
        secret_key: What with: a key or a token; empty for one that is made for the run.
        account: What stands in the path before the bucket.
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
