"""
URIs lose no character, and what could mean two things is refused with a way out.
"""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstore.errors import InvalidURIError
from asyncstore.uri import ObjectURI, Provider, parse_uri

AZURE, GCS, GITHUB, LOCAL, MEMORY, OCI, S3 = Provider

awkward = st.sampled_from(
    ["/", "//", "..", "@", "?", "#", "%", "%2F", "+", "\\", " ", "\n", "\0", "o/", "b/", "n/", ":"]
)
keys = st.lists(awkward | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=6).map("".join)
names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="/@?#%"), min_size=1, max_size=8)
names = names.filter(lambda name: not any(character.isspace() for character in name)) | st.sampled_from(
    ["n", "b", "o", "s3", "releases", "latest"]
)
accounts = names.filter(lambda name: "." not in name)

uris = st.one_of(
    st.builds(ObjectURI, st.just(S3), names, keys, region=st.none() | names),
    st.builds(ObjectURI, st.just(OCI), names, keys, namespace=st.none() | names, region=st.none() | names),
    st.builds(ObjectURI, st.just(AZURE), names, keys, namespace=st.none() | accounts),
    st.builds(ObjectURI, st.just(GITHUB), names, keys, namespace=names),
    st.builds(ObjectURI, st.sampled_from([GCS, MEMORY, "third+party-1.0"]), names, keys),
    st.builds(ObjectURI, st.just(LOCAL), st.just(""), keys),
)


@given(uris)
def test_text_reads_back_to_the_same(uri: ObjectURI) -> None:
    """Of every provider, with any key, also through a pickle."""
    assert uri == parse_uri(str(uri))
    assert uri == pickle.loads(pickle.dumps(uri))
    assert hash(uri) == hash(parse_uri(str(uri)))


@given(uris, keys)
def test_joined_keys_are_verbatim(uri: ObjectURI, key: str) -> None:
    """One slash is put between, none is taken away, and the result reads back."""
    joined = uri / key

    if not uri.key or uri.key.endswith("/"):
        assert joined.key == uri.key + key
    else:
        assert joined.key == f"{uri.key}/{key}"
    assert joined == parse_uri(str(joined))
    assert joined == ObjectURI(uri.provider, uri.bucket, joined.key, uri.namespace, uri.region)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("oci://ns/bucket/a/b", ObjectURI(OCI, "bucket", "a/b", "ns")),
        ("oci://n/ns/b/bucket/o/a/b", ObjectURI(OCI, "bucket", "a/b", "ns")),
        ("oci://n/my_ns/b/my-bucket.1/o/a.b-c_d/", ObjectURI(OCI, "my-bucket.1", "a.b-c_d/", "my_ns")),
        ("oci://n/ns/b/bucket/o/", ObjectURI(OCI, "bucket", "", "ns")),
        ("oci://n/ns/b/bucket/o", ObjectURI(OCI, "bucket", "", "ns")),
        ("oci://n/ns/b/bucket", ObjectURI(OCI, "bucket", "", "ns")),
        ("oci://n/ns/b/bucket/o/x/o/y", ObjectURI(OCI, "bucket", "x/o/y", "ns")),
        ("oci://ns@eu-frankfurt-1/bucket", ObjectURI(OCI, "bucket", "", "ns", "eu-frankfurt-1")),
        ("oci://ns@eu-frankfurt-1/bucket/a@b", ObjectURI(OCI, "bucket", "a@b", "ns", "eu-frankfurt-1")),
        ("oci:///bucket/a", ObjectURI(OCI, "bucket", "a")),
        ("oci://bucket", ObjectURI(OCI, "bucket")),
        ("s3://bucket/a//b/../c?d#e%20f", ObjectURI(S3, "bucket", "a//b/../c?d#e%20f")),
        ("s3://bucket", ObjectURI(S3, "bucket")),
        ("s3://bucket/", ObjectURI(S3, "bucket")),
        ("s3://bucket//a", ObjectURI(S3, "bucket", "/a")),
        ("s3://bucket/prefix/", ObjectURI(S3, "bucket", "prefix/")),
        ("s3://bucket@eu-west-1/u@h/f", ObjectURI(S3, "bucket", "u@h/f", region="eu-west-1")),
        ("s3://bucket/x/u@h/f", ObjectURI(S3, "bucket", "x/u@h/f")),
        ("gs://bucket/a", ObjectURI(GCS, "bucket", "a")),
        ("gs://bucket", ObjectURI(GCS, "bucket")),
        ("azure://container/a", ObjectURI(AZURE, "container", "a")),
        ("azure://container@account/a", ObjectURI(AZURE, "container", "a", "account")),
        ("azure://container@account.blob.core.windows.net/a", ObjectURI(AZURE, "container", "a", "account")),
        ("az://account/container/a", ObjectURI(AZURE, "container", "a", "account")),
        ("az://account/container", ObjectURI(AZURE, "container", "", "account")),
        ("az://account.blob.core.windows.net/container/a", ObjectURI(AZURE, "container", "a", "account")),
        ("github://owner/repo", ObjectURI(GITHUB, "repo", "", "owner")),
        ("github://owner/repo/releases", ObjectURI(GITHUB, "repo", "", "owner")),
        ("github://owner/repo/releases/v1.0/asset.tar.gz", ObjectURI(GITHUB, "repo", "v1.0/asset.tar.gz", "owner")),
        ("github://owner/repo/releases/latest/a", ObjectURI(GITHUB, "repo", "latest/a", "owner")),
        ("github://owner/repo@v1.0/a", ObjectURI(GITHUB, "repo", "v1.0/a", "owner")),
        ("github://owner/repo@v1.0", ObjectURI(GITHUB, "repo", "v1.0/", "owner")),
        ("file:///abs/path", ObjectURI(LOCAL, "", "abs/path")),
        ("file:////abs", ObjectURI(LOCAL, "", "/abs")),
        ("file:///", ObjectURI(LOCAL, "")),
        ("memory://bucket/a", ObjectURI(MEMORY, "bucket", "a")),
        ("hdfs://bucket/a", ObjectURI("hdfs", "bucket", "a")),
    ],
)
def test_forms(text: str, uri: ObjectURI) -> None:
    """Each documented form means one thing."""
    assert uri == parse_uri(text)
    assert uri is parse_uri(uri)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("https://bucket.s3.amazonaws.com/a%20b%2520+c", ObjectURI(S3, "bucket", "a b%20+c")),
        ("https://my.bucket.s3.eu-west-1.amazonaws.com/a", ObjectURI(S3, "my.bucket", "a", region="eu-west-1")),
        ("https://s3.eu-west-1.amazonaws.com/bucket/a", ObjectURI(S3, "bucket", "a", region="eu-west-1")),
        ("https://s3-eu-west-1.amazonaws.com/bucket/a", ObjectURI(S3, "bucket", "a", region="eu-west-1")),
        ("https://b.s3.dualstack.eu-west-1.amazonaws.com/a", ObjectURI(S3, "b", "a", region="eu-west-1")),
        ("https://b.s3-fips.us-west-2.amazonaws.com/a", ObjectURI(S3, "b", "a", region="us-west-2")),
        ("https://b.s3.cn-north-1.amazonaws.com.cn/a", ObjectURI(S3, "b", "a", region="cn-north-1")),
        ("https://b.s3-accelerate.amazonaws.com/a", ObjectURI(S3, "b", "a")),
        ("https://b.s3-accelerate.dualstack.amazonaws.com/a", ObjectURI(S3, "b", "a")),
        ("https://s3-external-1.amazonaws.com/b/a", ObjectURI(S3, "b", "a")),
        ("https://s3.amazonaws.com/bucket", ObjectURI(S3, "bucket")),
        ("https://S3.amazonaws.com:443/bucket/Key", ObjectURI(S3, "bucket", "Key")),
        ("https://storage.googleapis.com/bucket/a%2Fb", ObjectURI(GCS, "bucket", "a/b")),
        ("https://storage.cloud.google.com/bucket/a", ObjectURI(GCS, "bucket", "a")),
        ("https://bucket.storage.googleapis.com/a", ObjectURI(GCS, "bucket", "a")),
        ("https://storage.googleapis.com/storage/v1/b/bucket/o/a%2Fb", ObjectURI(GCS, "bucket", "a/b")),
        ("https://storage.googleapis.com/download/storage/v1/b/bucket/o/a", ObjectURI(GCS, "bucket", "a")),
        ("https://storage.googleapis.com/storage/v1/b/bucket", ObjectURI(GCS, "bucket")),
        ("https://account.blob.core.windows.net/c/a%23", ObjectURI(AZURE, "c", "a#", "account")),
        (
            "https://objectstorage.us-phoenix-1.oraclecloud.com/n/ns/b/bucket/o/a%2Fb%20c",
            ObjectURI(OCI, "bucket", "a/b c", "ns", "us-phoenix-1"),
        ),
        (
            "https://ns.objectstorage.us-phoenix-1.oci.customer-oci.com/n/ns/b/bucket/o/a",
            ObjectURI(OCI, "bucket", "a", "ns", "us-phoenix-1"),
        ),
        ("https://github.com/o/r/releases/download/v1/a%20b", ObjectURI(GITHUB, "r", "v1/a b", "o")),
        ("https://github.com/o/r/releases/latest/download/a", ObjectURI(GITHUB, "r", "latest/a", "o")),
        ("https://github.com/o/r/releases/tag/v1", ObjectURI(GITHUB, "r", "v1/", "o")),
    ],
)
def test_addresses(text: str, uri: ObjectURI) -> None:
    """An https address is decoded once and written back in the provider's own form."""
    assert uri == parse_uri(text)
    assert not str(uri).startswith("http")
    assert uri == parse_uri(str(uri))


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("", "s3://bucket/key"),
        ("bucket/key", "storage.root / key"),
        ("/abs/path", "file:///path"),
        ("s3:/bucket", "s3://bucket/key"),
        ("S3://bucket/key", "lower case"),
        ("s3://", "s3://bucket/key"),
        ("s3:///key", "s3://bucket/key"),
        ("s3://bucket@/key", "s3://bucket@region/key"),
        ("s3://b%20b/key", "s3://bucket/key"),
        ("s3://bucket?x/key", "s3://bucket/key"),
        ("s3://bucket\n", "s3://bucket/key"),
        ("gs://", "gs://bucket/key"),
        ("gs://a@b/key", "gs://bucket/key"),
        ("oci://", "oci://namespace/bucket/key"),
        ("oci://ns/", "oci://namespace/bucket/key"),
        ("oci://ns@region", "oci://namespace/bucket/key"),
        ("oci://ns@/bucket", "oci://namespace@region/bucket/key"),
        ("oci://n/ns/bucket/key", "n/namespace/b/bucket/o/key"),
        ("oci://n/ns/b/bucket/x/key", "n/namespace/b/bucket/o/key"),
        ("oci://n/ns/o/key/b/bucket", "n/namespace/b/bucket/o/key"),
        ("oci://n/ns", "n/namespace/b/bucket/o/key"),
        ("azure://", "azure://container@account/key"),
        ("azure://container@/key", "azure://container@account/key"),
        ("azure://container@host.example/key", "endpoint in the configuration"),
        ("az://account", "az://account/container/key"),
        ("az://account/", "az://account/container/key"),
        ("github://", "github://owner/repo"),
        ("github://owner", "github://owner/repo"),
        ("github://owner/repo@/asset", "github://owner/repo@tag/asset"),
        ("github://owner/repo/blob/main/file", "github://owner/repo/releases/tag/asset"),
        ("file://relative/path", "file:///absolute/path"),
        ("memory://", "memory://bucket/key"),
        ("http://host/bucket/key", "endpoint in the configuration"),
        ("https://host.example/bucket/key", "endpoint in the configuration"),
        ("https://b.s3-website-us-east-1.amazonaws.com/key", "s3://bucket/key"),
        ("https://s3.amazonaws.com/", "s3://bucket/key"),
        ("https://storage.googleapis.com/b/%ff", "UTF-8"),
        ("https://objectstorage.us-phoenix-1.oraclecloud.com/bucket/key", "n/namespace/b/bucket/o/key"),
        ("https://github.com/owner/repo", "own form"),
    ],
)
def test_what_is_refused_says_what_would_work(text: str, way_out: str) -> None:
    """The message has a form that is accepted."""
    with pytest.raises(InvalidURIError) as caught:
        parse_uri(text)

    assert way_out in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "text",
    [
        "https://b.s3.amazonaws.com/key?X-Amz-Signature=secret",
        "https://a.blob.core.windows.net/c/key?sig=secret",
        "https://b.s3.amazonaws.com?secret",
        "https://user:secret@b.s3.amazonaws.com/key",
        "http://user:secret@host/b?sig=secret",
    ],
)
def test_secrets_are_not_repeated(text: str) -> None:
    """An address with a signature or a password is refused without being shown."""
    with pytest.raises(InvalidURIError) as caught:
        parse_uri(text)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("provider", "bucket", "facts"),
    [
        ("S3", "b", {}),
        ("gs", "b", {}),
        ("az", "b", {}),
        ("https", "b", {}),
        (S3, "", {}),
        (S3, "a/b", {}),
        (S3, "a\udcff", {}),
        (S3, "b", {"key": "\udcff"}),
        (S3, "b", {"region": ""}),
        (S3, "b", {"namespace": "n"}),
        (GCS, "b", {"region": "r"}),
        (AZURE, "b", {"namespace": "a.b"}),
        (GITHUB, "b", {}),
        (LOCAL, "b", {}),
        (LOCAL, "", {"region": "r"}),
    ],
)
def test_parts_that_would_not_read_back(provider: str, bucket: str, facts: dict[str, str]) -> None:
    """They are refused when the record is made."""
    with pytest.raises(InvalidURIError):
        ObjectURI(provider, bucket, **facts)


def test_other_things_than_text() -> None:
    """Bytes, paths and keys without UTF-8 are no URIs."""
    with pytest.raises(InvalidURIError, match="not bytes"):
        parse_uri(b"s3://b/k")  # type: ignore[arg-type]
    with pytest.raises(InvalidURIError, match="UTF-8"):
        ObjectURI(S3, "b") / "\ud800"
