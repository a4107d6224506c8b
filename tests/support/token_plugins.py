"""Counters for tests: a vocabulary for tiktoken, and valid and broken plug-ins as installed packages."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

URL = "https://example.org/encodings/tiny.tiktoken"

_ENCODINGS = f"""
from tiktoken.load import load_tiktoken_bpe

# As OpenAI's encodings are written.
SPECIAL = {{"<|endoftext|>": 1_000}}
PATTERN = r"[^\\r\\n\\p{{L}}\\p{{N}}]?\\p{{L}}+|\\p{{N}}{{1,3}}| ?[^\\s\\p{{L}}\\p{{N}}]+|\\s+(?!\\S)|\\s+"

def made_of(url, expected_hash=None):
    ranks = load_tiktoken_bpe(url, expected_hash)
    return {{"name": "tiny", "pat_str": PATTERN, "mergeable_ranks": ranks, "special_tokens": SPECIAL}}

ENCODING_CONSTRUCTORS = {{
    "tiny": lambda: made_of("{URL}", "HASH"),
    "of_a_file": lambda: made_of("FILE"),
    "of_no_file": lambda: made_of("FILE.gone"),
    "of_no_pattern": lambda: {{"name": "of_no_pattern"}},
    "unhashed": lambda: made_of("https://example.org/encodings/unhashed.tiktoken"),
}}
"""

_PLUGIN = """
import re
import threading

from sessionhistory_server.tokens import TokenCounterError

class Panic(BaseException):
    pass

def words(argument):
    return lambda text: len(text.split())

def bytes_(argument):
    size = int(argument or 1)
    return lambda text: -(-len(text.encode()) // size)

# Works when it is tried, and then for no text with the word in it.
def failing(argument):
    def count(text):
        if "poison" not in text:
            return len(text.split())
        match argument:
            case "panic":
                raise Panic(text)
            case "exit":
                raise SystemExit(text)
            case "text":
                return "one"
            case "negative":
                return -1
            case "huge":
                return 2**31
            case "none":
                return None
        raise ValueError(text)
    return count

threads = []
release = threading.Event()

# Says in which thread it is asked, and waits there if the text says so.
def slow(argument):
    def count(text):
        threads.append(threading.current_thread().name)
        if "wait" in text:
            assert release.wait(60)
        return len(text)
    return count

def refusing(argument):
    raise TokenCounterError("set WORDS_HOME to where the words are")

def broken(argument):
    raise KeyError("nothing works")

def panicking(argument):
    raise Panic("at the disco")

def leaving(argument):
    raise SystemExit("no more")

def nonsense(argument):
    return lambda text: 1.5
"""

_ENTRY_POINTS = """
[sessionhistory.token_counters]
words = test_plugin:words
bytes = test_plugin:bytes_
failing = test_plugin:failing
slow = test_plugin:slow
refusing = test_plugin:refusing
broken = test_plugin:broken
panicking = test_plugin:panicking
leaving = test_plugin:leaving
nonsense = test_plugin:nonsense
missing = test_plugin:missing
"""


def vocabulary(
    pairs: Iterable[str] = ("he", "ll", "hell", "hello", " w", "or", " wor", "ld", " world"),
) -> bytes:
    """Return a vocabulary in tiktoken's format: all single bytes, and a few longer tokens."""
    tokens = [bytes([byte]) for byte in range(256)] + [pair.encode() for pair in pairs]
    lines = (base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))
    return b"".join(lines)


def install(folder: Path) -> None:
    """Install the encodings and the plug-ins in a folder, as pip would."""
    encodings = folder / "tiktoken_ext"
    encodings.mkdir(parents=True)
    file = folder / "own.tiktoken"
    file.write_bytes(vocabulary())
    digest = hashlib.sha256(vocabulary()).hexdigest()
    (encodings / "tiny.py").write_text(_ENCODINGS.replace("HASH", digest).replace("FILE", str(file)))
    (folder / "test_plugin.py").write_text(_PLUGIN)
    info = folder / "test_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
