"""Convert refused tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server.rpc.convert.times import timestamp

if TYPE_CHECKING:
    from sessionhistory.v1 import credentials_service_pb2 as pb
    from sessionhistory_server.model.refused_token import RefusedToken


def show_refused_token(token: RefusedToken, response: pb.RefusedToken) -> None:
    """Fill in a refused token of a response."""
    response.token_id = token.token_id
    response.user_id = token.user_id or ""
    response.application_id = token.application_id or ""
    for name in ("expire_time", "refuse_time"):
        if (time := timestamp(getattr(token, name))) is not None:
            getattr(response, name).CopyFrom(time)
