"""Read the conversations of ChatGPT's export: trees of messages, of which each branch is a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory.types import SessionFields
from sessionhistory_cli.client.importing.chatgpt_messages import chatgpt_message
from sessionhistory_cli.client.importing.json_fields import BadFieldError, JsonFields
from sessionhistory_cli.client.importing.losses import OF_SERVER, Losses
from sessionhistory_cli.client.importing.message_size import problem_of
from sessionhistory_cli.client.importing.recordings import (
    BadRecordingError,
    Recording,
    content_id,
    with_ids,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory.types import Message
    from sessionhistory_cli.client.importing.options import ImportOptions

_PATH: Final = "mapping[].message."
_MAX_TITLE: Final = 500


def chatgpt_conversations(value: object, options: ImportOptions) -> list[Recording]:
    """Return the branch that the export shows, and a fork for each other branch.

    Raises:
        BadRecordingError: a field is missing, wrong or too large.
    """
    conversation_id = ""
    try:
        fields = JsonFields(value)
        conversation_id = fields.optional("conversation_id", str) or ""
        conversation_id = conversation_id or fields.optional("id", str) or ""
        owner = (fields.optional("user_id", str) if options.user_id is None else options.user_id) or None
        session_id = conversation_id or options.session_id or content_id([value], owner)
        session = SessionFields(
            title=_title(fields),
            model=fields.optional("default_model_slug", str) or "",
        )
        fields.drop("id")
        fields.lose(OF_SERVER, "create_time", "update_time")
        tree = _Tree(fields)
        branches = tree.branches()
        losses = fields.losses()
    except BadFieldError as error:
        raise BadRecordingError(str(error), conversation_id) from error
    return list(_recordings(session_id, owner, session, tree, branches, losses))


def _title(fields: JsonFields) -> str:
    title = fields.optional("title", str) or ""
    if len(title) > _MAX_TITLE:
        fields.count("title", f"a title has at most {_MAX_TITLE} characters: the rest is left out")
    return title[:_MAX_TITLE]


class _Tree:
    """The messages of a conversation, by the id of their node."""

    def __init__(self, fields: JsonFields) -> None:
        self._current = fields.optional("current_node", str)
        self._parents: dict[str, str | None] = {}
        self.messages: dict[str, Message] = {}
        opened = fields.opened
        for node, told in fields.required("mapping", dict).items():
            inner = JsonFields(told, "mapping[].", opened)
            self._parents[node] = inner.optional("parent", str)
            inner.drop("id", "children")
            message = inner.optional("message", dict)
            if message is not None:
                self.messages[node] = self._message(JsonFields(message, _PATH, opened))
        if not self.messages:
            raise fields.error("mapping", "must have at least one message")

    def branches(self) -> list[list[str]]:
        """Return the nodes with messages of each branch; first the one that the export shows.

        Raises:
            BadFieldError: the nodes are no tree.
        """
        self._check_tree()
        parents = set(self._parents.values())
        leaves = [node for node in self._parents if node not in parents]
        shown = self._current if self._current in self._parents else self._newest(leaves)
        found: list[list[str]] = []
        known: set[str] = set()
        for leaf in (shown, *leaves):
            branch = self._branch(leaf)
            if branch and branch[-1] not in known:
                found.append(branch)
                known.update(branch)
        return found

    def _check_tree(self) -> None:
        """Check that no node is below itself, because its messages would be in no branch."""
        checked: set[str] = set()
        for start in self._parents:
            path: set[str] = set()
            node: str | None = start
            while node is not None and node in self._parents and node not in checked:
                if node in path:
                    raise BadFieldError("mapping: its messages must form a tree")
                path.add(node)
                node = self._parents[node]
            checked |= path

    def _message(self, fields: JsonFields) -> Message:
        message = chatgpt_message(fields)
        if problem := problem_of(message):
            raise fields.error("content", problem)
        return message

    def _newest(self, leaves: list[str]) -> str:
        """Return the leaf with the latest message; the last one of the file if none has a time."""

        def stamp(leaf: str) -> float:
            message = self.messages.get(leaf)
            return message.send_time.timestamp() if message and message.send_time else 0.0

        return max(reversed(leaves), key=stamp)

    def _branch(self, leaf: str) -> list[str]:
        branch: list[str] = []
        node: str | None = leaf
        while node is not None and node in self._parents:
            if node in self.messages:
                branch.append(node)
            node = self._parents[node]
        return branch[::-1]


def _recordings(
    session_id: str,
    owner: str | None,
    session: SessionFields,
    tree: _Tree,
    branches: list[list[str]],
    losses: Losses,
) -> Iterator[Recording]:
    owners: dict[str, str] = {}  # the first session that has the message of a node
    for branch in branches:
        messages = with_ids(tree.messages[node] for node in branch)
        if not owners:
            owners = dict.fromkeys(branch, session_id)
            yield Recording(session_id, owner, session, messages, losses, family=session_id)
            continue
        shared = next(place for place, node in enumerate(branch) if node not in owners)
        origin = owners[branch[shared - 1]] if shared else session_id
        # Of the first message that is its own, so that the id stays when the branch grows.
        name = f"{session_id}-{branch[shared]}"
        owners |= dict.fromkeys(branch[shared:], name)
        yield Recording(name, owner, session, messages, forked_from=origin, shared=shared, family=session_id)
