"""
The settings of :func:`asyncstore.open_storage` as types, for editors and type checkers.

Made by ``python -m tests.docs.settings_types`` from what the drivers and the methods of authentication declare; a test
compares. ``docs/reference/settings.md`` says what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from ssl import SSLContext
from typing import Any, Literal, TypedDict

from asyncstore.config import AuthConfig, HTTPOptions, RetryOptions
from asyncstore.encryption import Encryption
from asyncstore.types import ChecksumAlgorithm


class Settings(TypedDict, total=False):
    """
    Every setting of the providers that come with the package.

    Those of another package's provider are given as ``settings={...}``.
    """

    access_key_id: Any
    account_key: Any
    account_name: Any
    acls: frozenset[str]
    additionally_allowed_tenants: Any
    addressing_style: Literal["auto", "path", "virtual"]
    allow_http: bool
    anonymous: Any
    api_version: str
    app_id: Any
    async_copy: bool
    attempts: int
    auth: AuthConfig | None
    auth_type: str
    authority: Any
    authority_host: Any
    authorization_token: Any
    authorization_token_file: Any
    aws_access_key_id: Any
    aws_profile: Any
    aws_secret_access_key: Any
    aws_session_token: Any
    aws_source: Any
    azure_account_key: Any
    azure_account_name: Any
    azure_authority_host: Any
    azure_client_certificate_password: Any
    azure_client_certificate_path: Any
    azure_client_id: Any
    azure_client_secret: Any
    azure_connection_string: Any
    azure_federated_token_file: Any
    azure_sas_token: Any
    azure_tenant_id: Any
    base_url: Any
    bypass_retention: bool
    bytes_per_second: float | None
    ca_file: Path | str | None
    certificate_data: Any
    certificate_password: Any
    certificate_path: Any
    checksum: str | None
    checksums: frozenset[ChecksumAlgorithm]
    client_id: Any
    client_secret: Any
    conditional_copy: bool
    conditional_create: bool
    conditional_delete: bool
    conditional_read: bool
    conditional_replace: bool
    config_file: Any
    config_path: Any
    connect_timeout: float
    connection_string: Any
    content_headers: bool
    content_type: bool
    copy: bool
    copy_from_key: bool
    copy_keeps: frozenset[str]
    copy_part: bool
    copy_replace: bool
    create_release: bool
    credential: Any
    credential_process: Any
    credentials_file: Any
    credentials_json: Any
    credentials_relative_uri: Any
    credentials_uri: Any
    deadline: float | None
    delegates: Any
    delegation_token: Any
    delegation_token_file: Any
    delete_batch_size: int
    delete_snapshots: bool
    download_bytes_per_second: float | None
    draft: bool
    duration: Any
    empty_uploads: bool
    encryption: Encryption | None
    encryption_key: bytes | str | None
    encryption_kinds: frozenset[Literal["managed", "kms", "customer_key", "scope"]]
    encryption_scope: str | None
    endpoint_suffix: str | None
    endpoint_url: str | None
    etag_is_md5: bool
    expected_bucket_owner: str | None
    external_id: Any
    federated_token_file: Any
    federation_endpoint: Any
    fingerprint: Any
    folders: bool
    headers: Mapping[str, str]
    hmac_access_id: Any
    hmac_secret: Any
    http: HTTPOptions
    iam_endpoint: Any
    imds_v1: Any
    implied_classes: frozenset[str]
    independent_uploads: bool
    initial_backoff: float
    installation_id: Any
    key_content: Any
    key_file: Any
    kms_key_name: str | None
    kubernetes_service_host: Any
    latest_is_tag: bool
    lease_id: str | None
    lifetime: Any
    list_page_size: int
    max_backoff: float
    max_buffer_bytes: int
    max_copy_size: int
    max_key_bytes: int
    max_metadata_bytes: int
    max_object_size: int
    max_part_size: int
    max_parts: int
    max_put_size: int
    max_requests: int
    md5_metadata: bool
    metadata: bool
    metadata_attempts: Any
    metadata_endpoint: Any
    metadata_endpoint_mode: Any
    metadata_host: Any
    metadata_timeout: Any
    metadata_url: Any
    mfa_serial: Any
    mfa_token: Any
    min_object_size: int
    min_part_size: int
    multipart: Literal["auto", "xml", "compose"] | bool
    namespace: str | None
    object_id: Any
    object_lock: bool
    oci_profile: Any
    organization: Any
    part_checksums: str | None
    pass_phrase: Any
    permissions: Any
    policy: Any
    policy_arns: Any
    prerelease: bool
    presign_options: frozenset[str]
    presign_post: bool
    principal: Any
    private_key: Any
    private_key_file: Any
    private_key_path: Any
    process_timeout: Any
    proxy: str | None
    quota_project: Any
    ranges: bool
    reference: str
    region: str | None
    repositories: Any
    repository: Any
    requester_pays: bool
    requests_per_second: float | None
    resource_id: Any
    resource_principal_version: Any
    resumable_threshold: int
    retry: RetryOptions
    retry_attempts: int
    role_arn: Any
    role_session_name: Any
    rpst_endpoint: Any
    rpt_endpoint: Any
    rpt_path: Any
    sas_token: Any
    scopes: Any
    secret_access_key: Any
    security_context: Any
    security_token_file: Any
    self_signed_jwt: Any
    send_certificate_chain: Any
    service_account: Any
    service_account_cert_file: Any
    service_account_token: Any
    service_account_token_file: Any
    session: Any
    session_token: Any
    settings: Mapping[str, Any]
    shared: str | None
    sign: bool
    sorted_listing: bool
    source: Any
    source_identity: Any
    sse: Literal["AES256", "aws:kms", "aws:kms:dsse"] | None
    sse_customer_key: bytes | str | None
    sse_kms_key_id: str | None
    ssl_context: SSLContext | None
    stall_timeout: float
    state_directory: Path | str | None
    storage_classes: bool
    sts_endpoint: Any
    subject: Any
    subject_token: Any
    subscription: Any
    sync: bool
    tags: Any
    target_commitish: str | None
    target_principal: Any
    tenancy: Any
    tenant_id: Any
    token: Any
    transitive_tag_keys: Any
    universe_domain: Any
    upload_bytes_per_second: float | None
    use_accelerate_endpoint: bool | None
    use_dualstack_endpoint: bool | None
    use_fips_endpoint: bool | None
    user: Any
    user_agent: str | None
    user_project: str | None
    verify: bool
    verify_checksums: bool | None
    versioning: bool
    versions: bool
    web_identity_token_file: Any
    workload_identity_port: Any
