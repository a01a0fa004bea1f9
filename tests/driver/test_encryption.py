"""
What drivers send of an encryption.
"""

import pytest

from asyncstore.driver.encryption import kms_key
from asyncstore.drivers.gcs.encryption import kms_query, xml_headers
from asyncstore.drivers.oci.encryption import write_headers
from asyncstore.encryption import Encryption
from asyncstore.errors import InvalidRequestError

NAMED = Encryption.kms("projects/p/locations/l/keyRings/r/cryptoKeys/k")


def test_named_key() -> None:
    """
    A KMS key goes into a parameter or a header of GCS, and a header of OCI; a customer's key does not.
    """
    assert kms_query(NAMED, "destinationKmsKeyName") == [("destinationKmsKeyName", NAMED.name)]
    assert xml_headers(NAMED) == {"x-goog-encryption-kms-key-name": NAMED.name}
    assert write_headers(Encryption.kms("ocid1.key")) == {"opc-sse-kms-key-id": "ocid1.key"}
    key = Encryption.customer_key(bytes(32))
    assert kms_query(key) == []
    assert xml_headers(key)["x-goog-encryption-algorithm"] == "AES256"
    assert write_headers(key)["opc-sse-customer-algorithm"] == "AES256"


@pytest.mark.parametrize(
    "encryption",
    [
        Encryption.kms(),
        Encryption.kms("key", context={"a": "b"}),
        Encryption.kms("key", bucket_key=True),
        Encryption.kms("key", dual_layer=True),
    ],
)
def test_choices_of_s3_only(encryption: Encryption) -> None:
    """
    What only S3 has is refused elsewhere, not left out.
    """
    with pytest.raises(InvalidRequestError, match=r"GCS"):
        kms_key(encryption, "GCS")
