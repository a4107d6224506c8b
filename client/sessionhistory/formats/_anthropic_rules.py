"""The rules of Anthropic's Messages API, each with its public source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory.formats._violations import Rule

if TYPE_CHECKING:
    from sessionhistory.formats._violations import Violation

_DOCS: Final = "https://platform.claude.com/docs/en/"
_GITHUB: Final = "https://github.com/"


_RULES: Final = (
    Rule(
        "messages-present",
        "there is no message: send at least one",
        _DOCS + "build-with-claude/working-with-messages",
    ),
    Rule("message-limit", "there are more than 100,000 messages: send fewer", _DOCS + "api/messages"),
    Rule("known-role", "the role is none of user, assistant and system: name one", _DOCS + "api/messages"),
    Rule(
        "first-is-user",
        "the first message is not the user's: begin with one",
        _GITHUB + "lobehub/lobehub/issues/1601",
    ),
    Rule(
        "alternating-roles",
        "two messages of one role follow each other: join them",
        _GITHUB + "BerriAI/litellm/issues/3474",
    ),
    Rule(
        "system-place",
        "a system message stands in a wrong place: put it between a user's message and the model's",
        _DOCS + "build-with-claude/mid-conversation-system-messages",
    ),
    Rule(
        "content-present",
        "the message has no content: leave it out",
        _GITHUB + "anthropics/claude-code/issues/6774",
    ),
    Rule(
        "text-present",
        "the text is empty: leave the block out",
        _GITHUB + "anthropics/claude-code/issues/62150",
    ),
    Rule(
        "text-not-blank",
        "the text is white space only: leave the block out",
        _GITHUB + "anthropics/claude-code/issues/23369",
    ),
    Rule(
        "block-role",
        "the block may not stand in a message of this role: leave it out",
        _GITHUB + "SEMOSS/Semoss/issues/2323",
    ),
    Rule(
        "call-id",
        "the id has other characters than letters, digits, _ and -: replace it",
        _GITHUB + "maximhq/bifrost/issues/5097",
    ),
    Rule(
        "unique-call-id",
        "an earlier call has the id: give each call its own",
        _GITHUB + "anomalyco/opencode/issues/1150",
    ),
    Rule(
        "call-name",
        "the name is not 1 to 128 letters, digits, _ and -: replace it",
        _DOCS + "agents-and-tools/tool-use/define-tools",
    ),
    Rule(
        "call-input",
        "the input is no object: send one",
        _DOCS + "agents-and-tools/tool-use/handle-tool-calls",
    ),
    Rule(
        "calls-last",
        "another block follows a call: put calls at the end of the message",
        _GITHUB + "BerriAI/litellm/pull/22947",
    ),
    Rule(
        "call-answered",
        "the next message has no result of the call: put it there",
        _GITHUB + "anthropics/claude-code/issues/8210",
    ),
    Rule(
        "result-of-call",
        "the previous message has no call of this id: leave the result out",
        _GITHUB + "anthropics/claude-code/issues/13460",
    ),
    Rule(
        "one-result",
        "the call has two results: join them",
        _GITHUB + "QwenLM/qwen-code/pull/8163",
    ),
    Rule(
        "results-first",
        "another block stands before a result: put results first",
        _DOCS + "agents-and-tools/tool-use/handle-tool-calls",
    ),
    Rule(
        "error-result",
        "the result of an error is not all text: send text only",
        _GITHUB + "vellum-ai/vellum-assistant/pull/18387",
    ),
    Rule(
        "thinking-signed",
        "the thinking has no signature or no data: leave it out",
        _DOCS + "build-with-claude/extended-thinking",
    ),
    Rule(
        "thinking-not-last",
        "the message ends with thinking: leave it out",
        _GITHUB + "tailcallhq/forgecode/issues/2107",
    ),
    Rule(
        "thinking-first",
        "thinking is enabled, and the message of the open calls begins without it: disable thinking",
        _GITHUB + "n8n-io/n8n/issues/22550",
    ),
    Rule(
        "image-type",
        "the image is neither JPEG, PNG, GIF nor WebP: convert it",
        _DOCS + "build-with-claude/vision",
    ),
    Rule(
        "document-type",
        "the document is neither PDF nor plain text: convert it",
        _DOCS + "build-with-claude/pdf-support",
    ),
    Rule(
        "source-present",
        "the medium has no source: send bytes, a URL or a file",
        _DOCS + "build-with-claude/vision",
    ),
    Rule(
        "no-prefill",
        "the last message is the model's, and newer models continue none: end with the user's",
        _DOCS + "api/errors",
    ),
    Rule(
        "no-trailing-space",
        "the last message is the model's, and ends with white space: remove that",
        _GITHUB + "tailcallhq/forgecode/issues/1872",
    ),
    Rule(
        "cache-limit",
        "there are more than 4 breakpoints: set fewer",
        _GITHUB + "tghamm/Anthropic.SDK/issues/50",
    ),
    Rule(
        "cache-place",
        "the block takes no breakpoint: set it at another one",
        _GITHUB + "Wei-Shaw/sub2api/issues/225",
    ),
    Rule("system-text", "the system prompt has a block that is no text: move it", _DOCS + "api/messages"),
)
RULES: Final = {rule.name: rule for rule in _RULES}


def violation(rule: str, path: str) -> Violation:
    """Return the violation of a rule at a place."""
    return RULES[rule].at(path)
