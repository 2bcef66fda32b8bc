"""The lists of the caller of a request. Only routes that require a token may use this module."""

from __future__ import annotations

from service.lists.models import List
from service.lists.writes import UserLists
from service.web.request import ApiRequest


def lists_of(request: ApiRequest) -> UserLists:
    """Return the lists of the token's user, and of no other user."""
    caller = request.caller
    return List.objects.for_user(caller.user_id, using=request.database, email=caller.email, name=caller.name)
