"""What makes a write safe to send again: the client's key, what it came with, and the answer it got."""

from __future__ import annotations

from typing import ClassVar

from tortoise import fields

from service.models.scoping import OwnedModel, ScopedManager
from service.models.user import User


class IdempotencyKeyManager(ScopedManager["IdempotencyKey"]):
    """Closed to every query; keys are written and read by the statements of this module."""


class IdempotencyKey(OwnedModel):
    """An answer to be given again. The database's primary key is `(user_id, route, key)`."""

    key = fields.CharField(max_length=255, primary_key=True, description="as the client chose it")
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "service.User", related_name="idempotency_keys", on_delete=fields.CASCADE
    )
    route = fields.TextField(description="method and path, in which the key means something")
    body_digest = fields.BinaryField(description="of the request's body: the same key with another one is refused")
    status = fields.SmallIntField(description="the answer's status")
    headers = fields.JSONField[dict[str, str]](description="the answer's own headers, such as Location and ETag")
    body = fields.TextField(description="the answer's body, byte for byte")
    created_at = fields.DatetimeField(description="when the answer was given; it is forgotten 24 hours later")

    objects: ClassVar[IdempotencyKeyManager]

    class Meta:
        table = "idempotency_keys"
        manager = IdempotencyKeyManager()


IdempotencyKey.objects = IdempotencyKeyManager(IdempotencyKey)
