"""CallStream: many calls over one stream that stays open. Each behaves as if it were made alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory_server.rpc.dispatch import SERVICE, method_of, rpc
from sessionhistory_server.rpc.streaming.call_stream import CallStream

if TYPE_CHECKING:
    from sessionhistory.v1 import session_history_service_pb2 as pb
    from sessionhistory_server.model.caller import Caller
    from sessionhistory_server.rpc.accounting import Accounting
    from sessionhistory_server.rpc.load.control import LoadControl
    from sessionhistory_server.rpc.services.messages import MessagesServicer
    from sessionhistory_server.rpc.services.sessions import SessionsServicer
    from sessionhistory_server.rpc.services.windows import WindowsServicer
    from sessionhistory_server.rpc.streaming.reader import Reader
    from sessionhistory_server.rpc.streaming.sender import Sender


class CallStreamServicer:
    """The servicer of CallStream."""

    def __init__(
        self,
        messages: MessagesServicer,
        windows: WindowsServicer,
        sessions: SessionsServicer,
        accounting: Accounting,
        load: LoadControl,
    ) -> None:
        self._load = load
        rpcs = SERVICE.methods_by_name
        self._methods: Final = {
            "append_message": method_of(rpcs["AppendMessage"], messages, accounting),
            "append_messages": method_of(rpcs["AppendMessages"], messages, accounting),
            "get_history": method_of(rpcs["GetHistory"], windows, accounting),
            "list_messages": method_of(rpcs["ListMessages"], messages, accounting),
            "get_message": method_of(rpcs["GetMessage"], messages, accounting),
            "get_session": method_of(rpcs["GetSession"], sessions, accounting),
            "update_state": method_of(rpcs["UpdateState"], sessions, accounting),
        }

    @rpc(None, lasts=True)  # each call needs the scope of its method
    async def CallStream(self, caller: Caller, reader: Reader[pb.CallStreamRequest], sender: Sender) -> None:
        """Make the calls of a stream."""
        await CallStream(caller, reader, sender, self._methods, self._load).serve()
