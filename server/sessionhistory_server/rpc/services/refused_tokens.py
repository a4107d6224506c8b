"""The RPCs of CredentialsService on refused tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionhistory_server import call_context
from sessionhistory_server.model.caller import ADMIN
from sessionhistory_server.observability import trail
from sessionhistory_server.rpc.convert.filters import page_size
from sessionhistory_server.rpc.convert.refused_token import show_refused_token
from sessionhistory_server.rpc.convert.times import micros
from sessionhistory_server.rpc.dispatch import rpc
from sessionhistory_server.rpc.validation import refused_token as rules

if TYPE_CHECKING:
    from sessionhistory.v1 import credentials_service_pb2 as pb
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.usecases.refused_tokens import RefusedTokens


class RefusedTokensServicer:
    """The servicer of the RPCs on refused tokens."""

    def __init__(self, refused_tokens: RefusedTokens) -> None:
        self._refused_tokens = refused_tokens

    @rpc(ADMIN, rules.check_refuse, act=lambda _: trail.TOKEN_REFUSAL)
    async def RefuseToken(
        self, caller: Caller, request: pb.RefuseTokenRequest, response: pb.RefuseTokenResponse
    ) -> None:
        """Refuse a token."""
        call = call_context.current()
        call.subject = call.subject._replace(token_id=request.token_id)
        expire_time = micros(request.expire_time)
        refused = await self._refused_tokens.refuse(caller, request.token_id, expire_time)
        show_refused_token(refused, response.refused_token)

    @rpc(ADMIN, rules.check_list)
    async def ListRefusedTokens(
        self, caller: Caller, request: pb.ListRefusedTokensRequest, response: pb.ListRefusedTokensResponse
    ) -> None:
        """Return a page of refused tokens."""
        found, response.next_page_token = await self._refused_tokens.find(
            caller, page_size=page_size(request.page_size), page_token=request.page_token
        )
        for token in found:
            show_refused_token(token, response.refused_tokens.add())
