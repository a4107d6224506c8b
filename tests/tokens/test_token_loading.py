"""Token counters by name: available counters, and the errors for the others."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import pytest
import tiktoken.load

from sessionhistory_server import tokens
from sessionhistory_server.model.message import Part, ToolCall
from sessionhistory_server.tokens.texts import texts
from support.messages import message_content
from support.token_plugins import URL, vocabulary

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forbid all downloads."""

    def fetch(url: str) -> bytes:
        raise AssertionError(f"fetched {url}")

    monkeypatch.setattr(tiktoken.load, "read_file", fetch)


def content(text: str | None = None, **fields: Any) -> list[str]:
    """Return the texts that count of a message."""
    return [*texts(message_content(content=text, **fields))]


def error(name: str, folder: Path | None = None) -> str:
    """Return the error of a counter that is not available."""
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
    """The tokens are those of the vocabulary; text that looks like a special token is text."""
    assert tokens.load("tiktoken:tiny", vocabularies)(content(text)) == expected


@pytest.mark.parametrize("name", ["tiktoken:tiny", "words"])
def test_all_texts_of_a_message_are_counted(vocabularies: Path, name: str) -> None:
    """Content, text and JSON parts, calls' names and arguments are counted; nothing else is."""
    message = content(
        "hello",
        parts=(Part(text="hello"), Part(text=""), Part(json="hello")),
        tool_calls=(ToolCall("hello", "hello", "hello"), ToolCall("", "hello", "")),
        name="hello",
        metadata='{"hello": 1}',
        payload=b"hello",
    )
    assert tokens.load(name, vocabularies)(message) == 6


@pytest.mark.parametrize("text", [" " * 1_000_000, "a" * 1_000_000, " \n" * 500_000, "hello world " * 80_000])
def test_tiktoken_counts_a_megabyte_of_anything(vocabularies: Path, text: str) -> None:
    """Texts at which tiktoken itself fails are counted in pieces; the seams add very little."""
    counted = tokens.load("tiktoken:tiny", vocabularies)(content(text))
    sample = tokens.load("tiktoken:tiny", vocabularies)(content(text[:1_000]))
    assert counted == pytest.approx(sample * len(text) / 1_000, rel=0.02)


def test_a_vocabulary_as_tiktoken_caches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that tiktoken has filled works, also if only tiktoken's own variable names it."""
    (tmp_path / hashlib.sha1(URL.encode()).hexdigest()).write_bytes(vocabulary())
    assert tokens.load("tiktoken:tiny", tmp_path)(content("hello")) == 1
    tiktoken.registry.ENCODINGS.clear()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert tokens.load("tiktoken:tiny", None)(content("hello")) == 1


def test_an_encoding_of_somebodys_own(tmp_path: Path) -> None:
    """An encoding of an extension of tiktoken works, with its own file."""
    assert tokens.load("tiktoken:of_a_file", None)(content("hello world")) == 2
    assert "own.tiktoken.gone" in error("tiktoken:of_no_file", tmp_path)


def test_without_a_vocabulary(tmp_path: Path) -> None:
    """The error says what to download and where to put it; nothing is downloaded."""
    assert error("tiktoken:tiny") == f"download {URL} into a folder, and name it with --tiktoken-dir"
    assert (
        error("tiktoken:tiny", tmp_path) == f"{tmp_path} has no tiny.tiktoken: download it there from {URL}"
    )
    assert "o200k_base.tiktoken" in error("tiktoken:o200k_base", tmp_path)
    assert "vocab.bpe" in error("tiktoken:gpt2", tmp_path)


def test_with_another_vocabulary(vocabularies: Path) -> None:
    """A damaged file is refused, and not deleted."""
    file = vocabularies / "tiny.tiktoken"
    file.write_bytes(vocabulary()[:-10])
    assert error("tiktoken:tiny", vocabularies).startswith(
        f"{file} differs from the file at {URL}: its SHA-256 is not "
    )
    assert file.exists()
    (vocabularies / "unhashed.tiktoken").write_bytes(b"what is this?\n")
    assert "cannot be used" in error("tiktoken:unhashed", vocabularies)


def test_a_vocabulary_that_counts_nothing(vocabularies: Path) -> None:
    """A truncated vocabulary of an extension without hashes is detected by a trial."""
    (vocabularies / "unhashed.tiktoken").write_bytes(vocabulary()[:77])
    assert error("tiktoken:unhashed", vocabularies).startswith("tiktoken failed: PanicException: ")


def test_an_encoding_that_nobody_knows() -> None:
    """The error for an unknown encoding names the known ones."""
    for name in ("tiktoken", "tiktoken:", "tiktoken:gpt-9"):
        said = error(name)
        assert "has no encoding" in said
        assert "o200k_base" in said


def test_without_tiktoken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tiktoken the error says what to install."""
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    assert error("tiktoken:o200k_base") == "tiktoken is missing: install session-history[tiktoken]"


def test_plug_ins() -> None:
    """A plug-in is loaded with and without an argument."""
    assert tokens.load("words", None)(content("three short words")) == 3
    assert tokens.load("bytes:3", None)(content("a日本")) == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "no counter is called ''"),
        ("mixed", "no counter is called 'mixed'"),
        ("Characters", "only characters, tiktoken:ENCODING, broken, bytes"),
        ("characters:4", "no counter is called 'characters'"),
        ("x" * 251, "the name has more than 250 characters"),
        ("characters@2", "no counter is called 'characters@2'"),
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
    """The error for each unusable counter has its reason."""
    assert said in error(name)


def test_a_name_that_two_packages_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If two packages have a counter of one name, the name is refused."""
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sessionhistory.token_counters]\nwords = json:loads\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert error("words") == "several packages have a counter called 'words'"
