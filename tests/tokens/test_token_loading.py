"""Token counters by name: what is there, and what is said of what is not."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import pytest
import tiktoken.load

from sessionhistory_server import tokens
from sessionhistory_server.model import MessageContent, Part, ToolCall
from support.token_plugins import URL, vocabulary

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may fetch anything."""

    def fetch(url: str) -> bytes:
        raise AssertionError(f"fetched {url}")

    monkeypatch.setattr(tiktoken.load, "read_file", fetch)


def content(text: str | None = None, **fields: Any) -> MessageContent:
    """Return a message."""
    return MessageContent("id", "USER", content=text)._replace(**fields)


def error(name: str, folder: Path | None = None) -> str:
    """Return why a counter is not available."""
    with pytest.raises(tokens.TokenCounterError) as caught:
        tokens.load(name, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, 0),
        ("", 0),
        ("hello", 1),
        ("hello world", 2),
        ("help", 3),
        ("日", 3),
        ("<|endoftext|>", 13),
        ("hello<|endoftext|>hello", 15),
        ("\ufffd\U0010ffff", 7),
    ],
)
def test_tiktoken_counts_by_its_vocabulary(vocabularies: Path, text: str | None, expected: int) -> None:
    """Tokens are those of the vocabulary; what looks like a special token is text."""
    assert tokens.load("tiktoken:tiny", vocabularies)(content(text)) == expected


@pytest.mark.parametrize("name", ["tiktoken:tiny", "words"])
def test_all_texts_of_a_message_are_counted(vocabularies: Path, name: str) -> None:
    """Content, text parts, the calls' names and arguments; nothing else."""
    message = content(
        "hello",
        parts=(Part(text="hello"), Part(text=""), Part(json='"hello"')),
        tool_calls=(ToolCall("hello", "hello", "hello"), ToolCall("", "hello", "")),
        name="hello",
        metadata='{"hello": 1}',
        payload=b"hello",
    )
    assert tokens.load(name, vocabularies)(message) == 5


@pytest.mark.parametrize("text", [" " * 1_000_000, "a" * 1_000_000, " \n" * 500_000, "hello world " * 80_000])
def test_tiktoken_counts_a_megabyte_of_anything(vocabularies: Path, text: str) -> None:
    """Where tiktoken by itself gives up, in pieces it does not; the seams add next to nothing."""
    counted = tokens.load("tiktoken:tiny", vocabularies)(content(text))
    sample = tokens.load("tiktoken:tiny", vocabularies)(content(text[:1_000]))
    assert counted == pytest.approx(sample * len(text) / 1_000, rel=0.02)


def test_a_vocabulary_as_tiktoken_caches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that tiktoken has filled works, too, also where tiktoken's own variable names it."""
    (tmp_path / hashlib.sha1(URL.encode()).hexdigest()).write_bytes(vocabulary())
    assert tokens.load("tiktoken:tiny", tmp_path)(content("hello")) == 1
    tiktoken.registry.ENCODINGS.clear()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert tokens.load("tiktoken:tiny", None)(content("hello")) == 1


def test_an_encoding_of_somebodys_own(tmp_path: Path) -> None:
    """One that an extension of tiktoken brings, with a file of its own."""
    assert tokens.load("tiktoken:of_a_file", None)(content("hello world")) == 2
    assert "own.tiktoken.gone" in error("tiktoken:of_no_file", tmp_path)


def test_without_a_vocabulary(tmp_path: Path) -> None:
    """It is said what to download and where to; nothing is fetched."""
    assert error("tiktoken:tiny") == f"download {URL} into a folder, and name it with --tiktoken-dir"
    assert (
        error("tiktoken:tiny", tmp_path) == f"{tmp_path} has no tiny.tiktoken: download it there from {URL}"
    )
    assert "o200k_base.tiktoken" in error("tiktoken:o200k_base", tmp_path)
    assert "vocab.bpe" in error("tiktoken:gpt2", tmp_path)


def test_with_another_vocabulary(vocabularies: Path) -> None:
    """A file that is damaged is refused, and stays."""
    file = vocabularies / "tiny.tiktoken"
    file.write_bytes(vocabulary()[:-10])
    assert error("tiktoken:tiny", vocabularies).startswith(
        f"{file} is not what is at {URL}: its SHA-256 is not "
    )
    assert file.exists()
    (vocabularies / "unhashed.tiktoken").write_bytes(b"what is this?\n")
    assert "cannot be used" in error("tiktoken:unhashed", vocabularies)


def test_a_vocabulary_that_counts_nothing(vocabularies: Path) -> None:
    """Of an extension that names no hash, one that is cut short is noticed when it is tried."""
    (vocabularies / "unhashed.tiktoken").write_bytes(vocabulary()[:77])
    assert error("tiktoken:unhashed", vocabularies).startswith("tiktoken failed: PanicException: ")


def test_an_encoding_that_nobody_knows() -> None:
    """Those that are known are named."""
    for name in ("tiktoken", "tiktoken:", "tiktoken:gpt-9"):
        said = error(name)
        assert "has no encoding" in said
        assert "o200k_base" in said


def test_without_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to install."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    assert error("tiktoken:o200k_base") == "tiktoken is missing: install session-history[tiktoken]"


def test_plug_ins() -> None:
    """One without an argument, and one with."""
    assert tokens.load("words", None)(content("three short words")) == 3
    assert tokens.load("bytes:3", None)(content("a日本")) == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "no counter is called ''"),
        ("mixed", "no counter is called 'mixed'"),
        ("Characters", "only characters, tiktoken:ENCODING, broken, bytes"),
        ("characters:4", "no counter is called 'characters'"),
        ("x" * 257, "the name has more than 256 characters"),
        ("refusing", "set WORDS_HOME to where the words are"),
        ("broken", "test_plugin:broken failed: KeyError: 'nothing works'"),
        ("missing", "test_plugin:missing failed: AttributeError"),
        ("nonsense", "test_plugin:nonsense failed: TypeError"),
        ("panicking", "test_plugin:panicking failed: Panic: at the disco"),
        ("leaving", "test_plugin:leaving failed: SystemExit: no more"),
        ("tiktoken:of_no_pattern", "tiktoken failed: TypeError: "),
        ("bytes:few", "test_plugin:bytes_ failed: ValueError"),
    ],
)
def test_what_is_no_counter(name: str, said: str) -> None:
    """Each says why."""
    assert said in error(name)


def test_a_name_that_two_packages_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them is meant is not guessed."""
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sessionhistory.token_counters]\nwords = json:loads\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert error("words") == "several packages bring one called 'words'"
