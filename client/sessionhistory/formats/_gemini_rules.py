"""The rules of Gemini's ``generateContent``, each with its public source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sessionhistory.formats._violations import Rule

if TYPE_CHECKING:
    from sessionhistory.formats._violations import Violation

_DOCS: Final = "https://ai.google.dev/"
_GITHUB: Final = "https://github.com/"

_RULES: Final = (
    Rule("contents-present", "there is no content: send at least one", _DOCS + "api/generate-content"),
    Rule("known-role", "the role is neither user nor model: name one", _DOCS + "api/caching#Content"),
    Rule(
        "first-is-user",
        "the first content is the model's: begin with the user's",
        _GITHUB + "google-gemini/gemini-cli/issues/11814",
    ),
    Rule(
        "last-is-user",
        "the last content is the model's: end with the user's",
        _GITHUB + "crewAIInc/crewAI/pull/6973",
    ),
    Rule("parts-present", "the content has no parts: leave it out", _GITHUB + "vercel/ai/issues/3775"),
    Rule(
        "part-data",
        "the part has not exactly one kind of data: split it, or leave it out",
        _GITHUB + "router-for-me/CLIProxyAPI/issues/1292",
    ),
    Rule(
        "text-present",
        "the text is empty: leave the part out",
        _GITHUB + "glowingjade/obsidian-smart-composer/issues/218",
    ),
    Rule("blob-data", "the medium has no type or no bytes: send both", _DOCS + "api/caching#Blob"),
    Rule("file-uri", "the file has no URI: send one", _DOCS + "api/caching#FileData"),
    Rule(
        "function-name",
        "the name is not 1 to 64 letters, digits and _.:-, beginning with a letter or _: replace it",
        _GITHUB + "kaitranntt/ccs/issues/25",
    ),
    Rule("call-arguments", "the arguments are no object: send one", _DOCS + "api/caching#FunctionCall"),
    Rule("response-object", "the response is no object: send one", _DOCS + "api/caching#FunctionResponse"),
    Rule(
        "call-place",
        "a call does not directly follow the user's content or responses: move it",
        _GITHUB + "google-gemini/gemini-cli/issues/26486",
    ),
    Rule(
        "call-role",
        "a call is not the model's, or a response is: change the role",
        _DOCS + "gemini-api/docs/function-calling",
    ),
    Rule(
        "responses-follow",
        "a response does not directly follow the calls: move it",
        _GITHUB + "GoogleCloudPlatform/generative-ai/pull/368",
    ),
    Rule(
        "responses-count",
        "the next content has not as many responses as there are calls: send one for each",
        _GITHUB + "google-gemini/gemini-cli/issues/4217",
    ),
    Rule(
        "responses-alone",
        "other parts stand beside responses: put them into the next content",
        _GITHUB + "anomalyco/opencode/pull/43479",
    ),
    Rule(
        "response-of-call",
        "the response has another id or name than the call: use the call's",
        _DOCS + "api/caching#FunctionResponse",
    ),
    Rule(
        "call-signature",
        "the first call of a content has no signature: send back the call's, or the placeholder",
        _DOCS + "gemini-api/docs/thought-signatures",
    ),
    Rule(
        "system-text",
        "the system instruction has a part that is no text: move it",
        _DOCS + "api/generate-content",
    ),
)
RULES: Final = {rule.name: rule for rule in _RULES}


def violation(rule: str, path: str) -> Violation:
    """Return the violation of a rule at a place."""
    return RULES[rule].at(path)
