"""What the route of a user as a whole takes, answers and refuses."""

from __future__ import annotations

from service.users import routes as users
from service.web.openapi.shapes import WITH_BODY, Answer, Body, Operation, Operations

OPERATIONS: Operations = {
    ("DELETE", "/api/{user_id}"): Operation(
        "eraseUser", "User", "Erase a user",
        "Removes tasks, trash, idempotency keys and the user's row, for good and at once. `confirm` must be the "
        "token's user id, also where the path says `me`. Also 204 if the user has no data. 202 if a very large trash "
        "takes longer than one request: nothing of it can be reached any more; send the request again until it is 204, "
        "or let the daily upkeep remove the rest.",
        {204: Answer("Nothing of the user is left."),
         202: Answer("Rows are left to remove: send it again.", users.ErasureProgress, {"done": False},
                     ("Retry-After",))},
        WITH_BODY, guarded=True,
        body=Body(users.UserErasure, {"confirm with your own id": {"confirm": "dFz1UQm3T0yLbXkA"}}),
    ),
}  # fmt: skip
