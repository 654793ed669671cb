"""Make a bucket unless it is there: python -m mtl.store.bucket NAME, with AWS_* in the environment."""

from __future__ import annotations

import sys

from botocore.exceptions import ClientError

from mtl.store.s3 import make_client
from mtl.store.s3_errors import s3_errors

_MINE = "BucketAlreadyOwnedByYou"


def make_bucket(name: str) -> bool:
    """True if it was made, False if it was there. Errors: TransientError, PermanentError."""
    client = make_client()
    with s3_errors("make bucket", f"s3://{name}", endpoint=client.meta.endpoint_url):
        try:
            client.create_bucket(Bucket=name)
        except ClientError as error:
            if error.response["Error"]["Code"] == _MINE:
                return False
            raise
    return True


if __name__ == "__main__":
    made = make_bucket(sys.argv[1])
    sys.stdout.write(f"bucket {sys.argv[1]} {'made' if made else 'was there'}\n")
