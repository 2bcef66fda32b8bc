"""The route that erases a user with all data."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.errors import FieldError, InvalidInputError
from service.users.models import User
from service.web import conditions, responses, validation
from service.web.openapi.shapes import WITH_BODY, Answer, Body, Description
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("users", url_prefix="/api/<user_id:str>")

RULE = "your own user id, to confirm that all your data will be permanently deleted"


class UserErasure(Struct, forbid_unknown_fields=True):
    """The confirmation that prevents an erasure by accident."""

    confirm: Annotated[
        str, Meta(extra={"rule": RULE}, extra_json_schema={"description": RULE, "examples": ["dFz1UQm3T0yLbXkA"]})
    ]


class ErasureProgress(Struct):
    """The response if some rows are not removed yet."""

    done: Annotated[bool, Meta(description="Always false. Send the request again, or let the daily purge finish.")] = (
        False
    )


@blueprint.delete("/", unquote=True, ctx_description=Description(
    "eraseUser", "User", "Erase a user",
    "Permanently removes all data of the user. `confirm` must be the user id in the token, even if the path is "
    "`/api/me`. The response is also 204 if the user has no data. It is 202 if a very large trash takes longer than 15 "
    "seconds: no route returns the data any more; send the request again until the status is 204, or let the daily "
    "purge remove the rest.",
    {204: Answer("All data of the user is removed."),
     202: Answer("Some rows are not removed yet. Send the request again.", ErasureProgress, {"done": False},
                 ("Retry-After",))},
    WITH_BODY, guarded=True,
    body=Body(UserErasure, {"confirm with your own id": {"confirm": "dFz1UQm3T0yLbXkA"}}),
))  # fmt: skip
async def erase_user(request: ApiRequest) -> HTTPResponse:
    """Erase the caller: tasks, lists, trash, idempotency keys and the user's row.

    Responds 202 if the removal takes longer than a request may: all data is unreachable then, but some rows are left.
    """
    conditions.refuse(request, "a user is erased as a whole")
    user_id = request.caller.user_id
    confirm(request.json_body, user_id)
    done = await User.objects.for_user(user_id, using=request.database).erase(within=responses.WORKING_TIME)
    return responses.empty() if done else responses.unfinished(ErasureProgress())


def confirm(body: bytes, user_id: str) -> None:
    """Check that `body` contains `user_id` as the confirmation. Raises MalformedInputError or InvalidInputError."""
    if validation.decode(body.strip() or b"{}", UserErasure).confirm != user_id:
        raise InvalidInputError([FieldError("confirm", validation.rule(UserErasure, "confirm"))])
