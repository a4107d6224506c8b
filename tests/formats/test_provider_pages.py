"""The pages of providers name each rule of their validators, with its source."""

from __future__ import annotations

import pytest

from sessionhistory.formats import (
    _anthropic_rules,
    _gemini_rules,
    _langchain_rules,
    _openai_chat_rules,
    _openai_responses_rules,
)
from support.readme import code, page, table

_RULES = {
    ("docs/openai.md", "Rules of Chat Completions"): _openai_chat_rules.RULES,
    ("docs/openai.md", "Rules of Responses"): _openai_responses_rules.RULES,
    ("docs/anthropic.md", "Rules"): _anthropic_rules.RULES,
    ("docs/gemini.md", "Rules"): _gemini_rules.RULES,
    ("docs/langchain.md", "Rules"): _langchain_rules.RULES,
}


@pytest.mark.parametrize(("name", "heading"), _RULES)
def test_a_page_has_each_rule(name: str, heading: str) -> None:
    """The table of a page has the rules of the module, in order."""
    rows = [(*code(rule), text, source) for rule, text, source in table(page(name), heading)]
    rules = _RULES[name, heading].values()
    assert rows == [(rule.name, rule.text, f"[source]({rule.source})") for rule in rules]
