"""The reader of the README, on which the README's test depends."""

from __future__ import annotations

import pytest

from support.readme import Block, blocks, code, differences, table

_SAMPLE = """# Title

```sh
first
second
```

<!-- fails: 3 -->

~~~text
```
~~~

## Things

| a | b |
|---|---|
| `x` and `y` | 1 |

## Others
"""


def test_blocks() -> None:
    """Blocks come in order, with their kind, line and exit code."""
    assert blocks(_SAMPLE) == [Block("sh", "first\nsecond", 3), Block("text", "```", 10, 3)]


def test_a_comment_counts_for_the_next_block_alone() -> None:
    """A comment applies to the next block only, and text in between ends it."""
    assert blocks("<!-- fails: 3 -->\nwords\n```sh\nx\n```\n") == [Block("sh", "x", 3)]


def test_a_block_that_does_not_end() -> None:
    """A block that is not closed is an error, and does not contain the rest of the file."""
    with pytest.raises(ValueError, match="line 1 does not end"):
        blocks("```sh\nx\n")


def test_tables() -> None:
    """The reader finds the rows of a heading's table, and the code in the cells."""
    assert table(_SAMPLE, "Things") == [["`x` and `y`", "1"]]
    assert code("`x` and `y`") == ["x", "y"]
    with pytest.raises(ValueError, match="Others"):
        table(_SAMPLE, "Others")


@pytest.mark.parametrize(
    ("sample", "output", "expected"),
    [
        ('{"a": [1]}', '{"a": [1]}', []),
        ('{"a": 1, "...": "..."}', '{"a": 1, "b": 2}', []),
        ('{"create_time": "then"}', '{"create_time": "now"}', []),
        ('{"a": 1}', '{"a": 1, "b": 2}', ["$.b is not shown"]),
        ('{"a": 1}', "{}", ["$.a is missing"]),
        ('{"a": [{"b": 1}]}', '{"a": [{"b": 2}]}', ["$.a[0].b is 2, not 1"]),
        ('{"a": [1]}', '{"a": []}', ["$.a is [], not [1]"]),
    ],
)
def test_json_samples(sample: str, output: str, expected: list[str]) -> None:
    """A JSON sample shows every field, unless it says that it leaves some out; times may differ."""
    assert differences(sample, "json", output) == expected


def test_text_samples() -> None:
    """A text sample has the words of the output, in a layout of its own."""
    output = 'ERROR:\n  Code: NotFound\n  {\n  "a": "b c"\n  }\n'
    assert differences('ERROR:\n Code: NotFound\n{ "a": "b c", "d…" }', "text", output) == []
    assert differences('Code: Found\n"a": "x"', "text", output) == ["Code: Found", '"a": "x"']
