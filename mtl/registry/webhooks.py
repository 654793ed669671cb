"""ensure_webhook: have MLflow's registry post to our receiver when an alias is set or removed."""

from __future__ import annotations

from mlflow.entities.webhook import Webhook, WebhookAction, WebhookEntity, WebhookEvent

from mtl.tracking.client import Tracking
from mtl.tracking.faults import mlflow_errors

_EVENTS = [
    WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED),
    WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.DELETED),
]


def ensure_webhook(tracking: Tracking, *, name: str, url: str, secret: str) -> bool:
    """Register `url` under `name`, or correct what is there; safe to repeat. True if it was not there.

    The server encrypts the secret with its MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY; to post to a loopback address it
    needs MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true.
    Errors: TransientError, PermanentError.
    """
    with mlflow_errors("register the webhook"):
        found = [webhook for webhook in _all(tracking) if webhook.name == name]
        for double in found[1:]:
            tracking.client.delete_webhook(double.webhook_id)
        if found:
            # The secret cannot be read back, so it is set again.
            tracking.client.update_webhook(
                found[0].webhook_id, url=url, events=list(_EVENTS), secret=secret, status="ACTIVE"
            )
            return False
        tracking.client.create_webhook(name, url, list(_EVENTS), secret=secret)
        return True


def _all(tracking: Tracking) -> list[Webhook]:
    found: list[Webhook] = []
    token: str | None = None
    while True:
        page = tracking.client.list_webhooks(max_results=100, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found
