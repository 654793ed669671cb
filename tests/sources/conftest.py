from __future__ import annotations

from tests.support.s3 import aws, bucket, s3_client, s3_endpoint

__all__ = ["aws", "bucket", "s3_client", "s3_endpoint"]
