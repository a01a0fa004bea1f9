"""
URIs lose no character, and ambiguous ones are refused with a form that works.
"""

import pickle
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncstore import uri as uri_module
from asyncstore.errors import InvalidURIError
from asyncstore.uri import ENTRY_POINTS, ObjectURI, Provider, URIGrammar, decoded, is_known, parse_uri

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
regions = st.from_regex(r"[a-z]{2}-[a-z]{2,6}-[0-9]|[a-z]{3}", fullmatch=True)
paths = st.sampled_from(["n/ns/b/bucket/o/key", "secret/n/ns/b/bucket/o/key"])

uris = st.one_of(
    st.builds(ObjectURI, st.just(S3), names, keys, region=st.none() | names),
    st.builds(ObjectURI, st.just(OCI), names, keys, namespace=st.none() | names, region=st.none() | regions),
    # Parts that look like the path of a pre-authenticated request.
    st.builds(ObjectURI, st.just(OCI), st.sampled_from(["p", "x"]), paths, namespace=st.sampled_from([None, "p", "x"])),
    st.builds(ObjectURI, st.just(AZURE), names, keys, namespace=st.none() | accounts),
    st.builds(ObjectURI, st.just(GITHUB), names, keys, namespace=names),
    st.builds(ObjectURI, st.sampled_from([GCS, MEMORY, "third+party-1.0"]), names, keys),
    st.builds(ObjectURI, st.just(LOCAL), st.just(""), keys),
)


@given(uris)
def test_text_round_trips(uri: ObjectURI) -> None:
    """str() and parse_uri() round-trip for every provider and key, and pickle does too."""
    assert uri == parse_uri(str(uri))
    assert uri == pickle.loads(pickle.dumps(uri))
    assert hash(uri) == hash(parse_uri(str(uri)))


@given(uris, keys)
def test_joined_keys_are_verbatim(uri: ObjectURI, key: str) -> None:
    """Joining adds one slash, removes none, and the result parses back."""
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
        ("oci://bucket/", ObjectURI(OCI, "bucket")),
        ("oci://bucket@ns", ObjectURI(OCI, "bucket", "", "ns")),
        ("oci://bucket@ns/", ObjectURI(OCI, "bucket", "", "ns")),
        ("oci://my-bucket.1@axaxnpcrorw5/a/b@c", ObjectURI(OCI, "my-bucket.1", "a/b@c", "axaxnpcrorw5")),
        ("oci://ns@fra/bucket/a", ObjectURI(OCI, "bucket", "a", "ns", "fra")),
        ("oci://ns@US-GOV-PHOENIX-1/bucket/a", ObjectURI(OCI, "bucket", "a", "ns", "US-GOV-PHOENIX-1")),
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
        ("az://container@account/a@b", ObjectURI(AZURE, "container", "a@b", "account")),
        ("abfss://container@account.dfs.core.windows.net/a", ObjectURI(AZURE, "container", "a", "account")),
        ("abfs://container@account.blob.core.windows.net/a", ObjectURI(AZURE, "container", "a", "account")),
        ("abfss://container/a", ObjectURI(AZURE, "container", "a")),
        ("wasbs://container@account.blob.core.windows.net", ObjectURI(AZURE, "container", "", "account")),
        ("wasb://container@account/a", ObjectURI(AZURE, "container", "a", "account")),
        (
            "abfss://container@account.dfs.core.chinacloudapi.cn/a",
            ObjectURI(AZURE, "container", "a", "account", "core.chinacloudapi.cn"),
        ),
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
    """Each documented form parses to one URI."""
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
        ("https://account.dfs.core.windows.net/c/a", ObjectURI(AZURE, "c", "a", "account")),
        ("https://account.privatelink.blob.core.windows.net/c/a", ObjectURI(AZURE, "c", "a", "account")),
        (
            "https://account.blob.core.usgovcloudapi.net/c/a",
            ObjectURI(AZURE, "c", "a", "account", "core.usgovcloudapi.net"),
        ),
        (
            "https://account.z12.blob.storage.azure.net/c/a",
            ObjectURI(AZURE, "c", "a", "account", "z12.storage.azure.net"),
        ),
        (
            "https://objectstorage.us-phoenix-1.oraclecloud.com/n/ns/b/bucket/o/a%2Fb%20c",
            ObjectURI(OCI, "bucket", "a/b c", "ns", "us-phoenix-1"),
        ),
        (
            "https://ns.objectstorage.us-phoenix-1.oci.customer-oci.com/n/ns/b/bucket/o/a",
            ObjectURI(OCI, "bucket", "a", "ns", "us-phoenix-1"),
        ),
        (
            "https://objectstorage.us-ashburn-1.oci.oraclecloud.com/n/ns/b/bucket/o/a",
            ObjectURI(OCI, "bucket", "a", "ns", "us-ashburn-1"),
        ),
        ("https://cloud.oracle.com/object-storage/buckets/ns/bucket/objects", ObjectURI(OCI, "bucket", "", "ns")),
        *(
            (
                f"https://objectstorage.{region}.{domain}/n/ns/b/bucket/o/a",
                ObjectURI(OCI, "bucket", "a", "ns", region),
            )
            for region, domain in (
                ("eu-frankfurt-2", "oraclecloud.eu"),
                ("us-gov-ashburn-1", "oraclegovcloud.com"),
                ("uk-gov-london-1", "oraclegovcloud.uk"),
                ("ap-chiyoda-1", "oraclecloud8.com"),
                ("eu-dcc-milan-1", "oraclecloud14.com"),
            )
        ),
        ("https://www.googleapis.com/storage/v1/b/bucket/o/a%2Fb", ObjectURI(GCS, "bucket", "a/b")),
        ("https://commondatastorage.googleapis.com/bucket/a", ObjectURI(GCS, "bucket", "a")),
        ("https://bucket.commondatastorage.googleapis.com/a", ObjectURI(GCS, "bucket", "a")),
        ("https://storage.mtls.googleapis.com/bucket/a", ObjectURI(GCS, "bucket", "a")),
        ("https://storage.europe-west3.rep.googleapis.com/bucket/a", ObjectURI(GCS, "bucket", "a")),
        ("https://my.bucket.storage.googleapis.com/a", ObjectURI(GCS, "my.bucket", "a")),
        ("https://console.cloud.google.com/storage/browser/bucket", ObjectURI(GCS, "bucket")),
        ("https://console.cloud.google.com/storage/browser/bucket;tab=objects", ObjectURI(GCS, "bucket")),
        ("https://console.cloud.google.com/storage/browser/bucket/a/b;tab=objects", ObjectURI(GCS, "bucket", "a/b/")),
        ("https://console.cloud.google.com/storage/browser/bucket/a/", ObjectURI(GCS, "bucket", "a/")),
        (
            "https://console.cloud.google.com/storage/browser/_details/bucket/a/b%3Bc;tab=live_object",
            ObjectURI(GCS, "bucket", "a/b;c"),
        ),
        ("https://github.com/o/r/releases", ObjectURI(GITHUB, "r", "", "o")),
        ("https://www.github.com/o/r/releases/", ObjectURI(GITHUB, "r", "", "o")),
        ("https://github.com/o/r/releases/latest", ObjectURI(GITHUB, "r", "latest/", "o")),
        ("https://github.com/o/r/releases/tag/%40s%2Fp%401.0", ObjectURI(GITHUB, "r", "@s/p@1.0/", "o")),
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
        ("oci://ns@us-phoenix-1", "oci://namespace/bucket/key"),
        ("oci://@ns/key", "oci://namespace/bucket/key"),
        ("oci://ns@/bucket", "oci://namespace@region/bucket/key"),
        ("oci://n/ns/bucket/key", "n/namespace/b/bucket/o/key"),
        ("oci://n/ns/b/bucket/x/key", "n/namespace/b/bucket/o/key"),
        ("oci://n/ns/o/key/b/bucket", "n/namespace/b/bucket/o/key"),
        ("oci://n/ns", "n/namespace/b/bucket/o/key"),
        ("azure://", "azure://container@account/key"),
        ("azure://container@/key", "azure://container@account/key"),
        ("azure://container@host.example/key", "endpoint in the configuration"),
        ("azure://container@account.blob.core.example/key", "endpoint in the configuration"),
        ("abfss://container@host.example/key", "endpoint in the configuration"),
        ("abfss://", "azure://container@account/key"),
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
        (
            "https://ns.compat.objectstorage.us-phoenix-1.oraclecloud.com/bucket/key",
            "s3://bucket/key with endpoint_url",
        ),
        ("https://swiftobjectstorage.us-phoenix-1.oraclecloud.com/v1/ns/bucket/key", "oci://namespace/bucket/key"),
        ("https://cloud.oracle.com/compute/instances", "oci://namespace/bucket/key"),
        ("https://console.cloud.google.com/iam-admin/iam", "gs://bucket/key"),
        ("https://github.com/owner/repo", "github://owner/repo/releases/tag/asset"),
        ("https://github.com/owner/repo/archive/refs/tags/v1.zip", "github://owner/repo/releases/tag/asset"),
        ("https://api.github.com/repos/owner/repo/releases/assets/1", "github://owner/repo/releases/tag/asset"),
        ("https://release-assets.githubusercontent.com/1/2", "github://owner/repo/releases/tag/asset"),
    ],
)
def test_error_shows_an_accepted_form(text: str, way_out: str) -> None:
    """The message shows a form that is accepted."""
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
        "s3://user:secret@eu-west-1/key",
        "oci://user:secret@eu-frankfurt-1/bucket/key",
        "azure://user:secret@account/key",
        "https://objectstorage.us-phoenix-1.oraclecloud.com/p/secret/n/ns/b/bucket/o/key",
        "https://objectstorage.eu-frankfurt-2.oraclecloud.eu/p/secret/n/ns/b/bucket/o/",
        "https://ns.objectstorage.us-phoenix-1.oci.customer-oci.com/p/secret/n/ns/b/bucket/o/key",
        "https://objectstorage.us-phoenix-1.oraclecloud.com/p/secret",
        "https://objects.example/p/secret/n/ns/b/bucket/o/key",
        "HTTPS://objects.example/p/secret-0123456789/n/ns/b/bucket/o/key",
        "oci://p/secret/n/ns/b/bucket/o/key",
        "oci://objectstorage.us-phoenix-1.oraclecloud.com/p/secret/n/ns/b/bucket/o/key",
        "https://objects.githubusercontent.com/secret",
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
        (OCI, "b", {"namespace": "n", "region": "namespace"}),
        (GCS, "b", {"region": "r"}),
        (AZURE, "b", {"namespace": "a.b"}),
        (GITHUB, "b", {}),
        (LOCAL, "b", {}),
        (LOCAL, "", {"region": "r"}),
    ],
)
def test_parts_that_would_not_parse_back(provider: str, bucket: str, facts: dict[str, str]) -> None:
    """Parts that could not be parsed back are refused when the record is built."""
    with pytest.raises(InvalidURIError):
        ObjectURI(provider, bucket, **facts)


def test_other_types_are_refused() -> None:
    """Bytes and keys that are not UTF-8 are refused."""
    with pytest.raises(InvalidURIError, match="not bytes"):
        parse_uri(b"s3://b/k")  # type: ignore[arg-type]
    with pytest.raises(InvalidURIError, match="UTF-8"):
        ObjectURI(S3, "b") / "\ud800"


class _DAV(URIGrammar):
    def parse_address(self, host: str, path: str, text: str) -> ObjectURI | None:
        if not host.endswith(".dav.example"):
            return None
        bucket, _, key = path.partition("/")
        return ObjectURI("dav-test", bucket, decoded(key, text), namespace=host)


DAV = _DAV(provider="dav-test", form="namespace/bucket")
DAVS = URIGrammar(provider="dav-test", scheme="davs-test", form="namespace/bucket")


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    entries = [
        EntryPoint(name, f"{__name__}:{value}", ENTRY_POINTS)
        for name, value in (("dav-test", "DAV"), ("davs-test", "DAVS"))
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: EntryPoints(entries).select(group=group))
    uri_module._declared.cache_clear()
    yield
    uri_module._declared.cache_clear()


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("dav-test://host:8080/bucket/a@b/c", "dav-test://host:8080/bucket/a@b/c"),
        ("davs-test://host/bucket/a", "dav-test://host/bucket/a"),
        ("https://one.dav.example/bucket/a%20b", "dav-test://one.dav.example/bucket/a b"),
    ],
)
def test_declared_grammar(text: str, written: str) -> None:
    """Another package declares its forms; URIs are written with the provider's own scheme."""
    uri = parse_uri(text)

    assert (str(uri), uri.provider, uri.bucket) == (written, "dav-test", "bucket")
    assert parse_uri(written) == uri == pickle.loads(pickle.dumps(uri))
    assert is_known(text.partition("://")[0])


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize("text", ["dav-test://host", "dav-test:///bucket", "dav-test://host/", "dav-test://a b/bucket"])
def test_declared_grammar_refuses(text: str) -> None:
    """The error shows the form that was declared."""
    with pytest.raises(InvalidURIError, match="write dav-test://namespace/bucket/key"):
        parse_uri(text)


def test_undeclared_grammar() -> None:
    """A provider that declares nothing has scheme://bucket/key."""
    uri = parse_uri("lab-test://bucket/a/b")

    assert (uri, str(uri)) == (ObjectURI("lab-test", "bucket", "a/b"), "lab-test://bucket/a/b")
    with pytest.raises(InvalidURIError, match="has no region: write lab-test://bucket/key"):
        ObjectURI("lab-test", "bucket", region="r")


@pytest.mark.usefixtures("declared")
def test_lookup() -> None:
    """Declared schemes are known once a scheme that is not built in has been parsed."""
    assert all(map(is_known, ("s3", "gs", "gcs", "https")))
    assert not is_known("dav-test")

    parse_uri("lab-test://b")

    assert is_known("dav-test")
    assert not is_known("lab-test")


@pytest.mark.parametrize("form", ["namespace", "bucket/key", "bucket@zone", ""])
def test_forms_that_cannot_be_declared(form: str) -> None:
    """A form has a bucket, and no other parts than namespace and region."""
    with pytest.raises(ValueError, match="a form has bucket"):
        URIGrammar(provider="lab-test", form=form)
