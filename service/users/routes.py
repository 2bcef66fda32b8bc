"""The route of a user as a whole: the end of everything that is theirs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from sanic import Blueprint, HTTPResponse

from service.errors import FieldError, InvalidInputError
from service.users.models import User
from service.web import conditions, responses, validation
from service.web.request import ApiRequest

blueprint: Blueprint = Blueprint("users", url_prefix="/api/<user_id:str>")

RULE = "your own user id, in full, to say that everything of yours shall be gone for good"


class Erasure(Struct, forbid_unknown_fields=True):
    """What must be said so that nobody is erased by accident."""

    confirm: Annotated[
        str, Meta(extra={"rule": RULE}, extra_json_schema={"description": RULE, "examples": ["dFz1UQm3T0yLbXkA"]})
    ]


class Unfinished(Struct):
    """The answer while rows are left to remove."""

    done: Annotated[bool, Meta(description="Always false: send the request again, or let the daily upkeep finish.")] = (
        False
    )


@blueprint.delete("/", unquote=True)
async def erase_user(request: ApiRequest) -> HTTPResponse:
    """Erase the caller: tasks, trash, idempotency keys and the user's own row.

    202 if there is more than the time of a request allows: nothing can be reached then, but rows are left to remove.
    """
    conditions.refuse(request, "a user is erased as a whole")
    user_id = request.caller.user_id
    confirm(request.json_body, user_id)
    done = await User.objects.for_user(user_id, using=request.database).erase(within=responses.WORKING_TIME)
    return responses.empty() if done else responses.unfinished(Unfinished())


def confirm(body: bytes, user_id: str) -> None:
    """Make sure that `body` names this very user. Raises MalformedInputError or InvalidInputError."""
    if validation.decode(body.strip() or b"{}", Erasure).confirm != user_id:
        raise InvalidInputError([FieldError("confirm", validation.rule(Erasure, "confirm"))])
