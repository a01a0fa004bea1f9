"""
Uploads by parts with nothing but a pre-authenticated request.

See https://docs.oracle.com/iaas/Content/Object/Tasks/usingpreauthenticatedrequests_topic-Working_with_PreAuthenticated_Requests.htm
"""

from __future__ import annotations

import secrets
from urllib.parse import quote

from asyncstore.testing.servers.oci.call import Call, Reply
from asyncstore.testing.servers.oci.naming import check_object_name, tier_or, user_headers
from asyncstore.testing.servers.oci.objects import check_write_to
from asyncstore.testing.servers.oci.state import Upload
from asyncstore.testing.servers.oci.uploads import commit, summary, upload_of


async def create(call: Call) -> Reply:
    """
    Start an upload, and return the path under which its parts are put.
    """
    bucket, name = call.bucket, call.names["object"]
    check_object_name(name)
    check_write_to(bucket, name, call)
    upload = Upload(
        name=name,
        created=call.now,
        creator=call.caller,
        headers=user_headers(call.headers),
        tier=tier_or(call.headers.get("storage-tier"), bucket.tier),
        access_token=secrets.token_urlsafe(48),
    )
    bucket.uploads[upload.upload_id] = upload
    where = f"/n/{call.namespace}/b/{bucket.name}/u/{quote(name)}/id/{upload.upload_id}/"
    return Reply(200, body={**summary(call, upload), "accessUri": f"/p/{upload.access_token}{where}"})


async def commit_all(call: Call) -> Reply:
    """
    Make the object of all the parts that there are.
    """
    upload = upload_of(call)
    return commit(call, upload, [part for _, part in sorted(upload.parts.items())])
