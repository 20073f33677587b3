"""Objects in the stack's bucket: large chunks of output, and inputs too large for the table."""

from __future__ import annotations

from filepath.aws import clients
from filepath.errors import NotFound
from filepath.settings import settings

_FETCH_SECONDS = 900
"""How long a presigned address holds: the agent fetches at once, and tries again for some time."""


def write(key: str, data: bytes) -> None:
    clients.s3().put_object(Bucket=settings().bucket, Key=key, Body=data)


def read(key: str) -> bytes:
    """Raises NotFound once the object's time is over."""
    s3 = clients.s3()
    try:
        return s3.get_object(Bucket=settings().bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey as error:
        raise NotFound("This was kept for its time and is gone.") from error


def address(key: str) -> str:
    """Where a sandbox, which has no credentials, fetches the object."""
    return clients.presigning_s3().generate_presigned_url(
        "get_object", Params={"Bucket": settings().bucket, "Key": key}, ExpiresIn=_FETCH_SECONDS
    )
