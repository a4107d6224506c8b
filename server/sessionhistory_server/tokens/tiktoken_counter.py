"""Count tokens with OpenAI's tokenizers, from the package tiktoken and vocabularies in a folder.

By itself, tiktoken downloads a missing vocabulary, and removes a file with a wrong hash. A server must do
neither.
"""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sessionhistory_server.tokens.plugin import TokenCounterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionhistory_server.tokens.plugin import TokenCounter

# tiktoken fails at a million spaces in a row, so long texts are split. Each split adds a token or two.
_PIECE_CHARACTERS: Final = 100_000

_lock: Final = threading.Lock()


def tiktoken_counter(encoding: str, folder: Path | None) -> TokenCounter:
    """Return the counter of an encoding such as ``o200k_base``. Special tokens count as plain text.

    Args:
        encoding: A name that tiktoken knows.
        folder: The folder with its vocabulary: the downloaded file, or the file in tiktoken's cache.
            ``None``: the folder in TIKTOKEN_CACHE_DIR.

    Raises:
        TokenCounterError: tiktoken, the encoding or its vocabulary is missing.
    """
    try:
        import tiktoken  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise TokenCounterError(f"{error.name} is missing: install session-history[tiktoken]") from error
    names = tiktoken.list_encoding_names()
    if encoding not in names:
        raise TokenCounterError(f"tiktoken has no encoding {encoding!r}, only {', '.join(sorted(names))}")
    with _reading_from(folder):
        try:
            encode = tiktoken.get_encoding(encoding).encode_ordinary
        except (OSError, ValueError, AssertionError) as error:
            raise TokenCounterError(f"the vocabulary cannot be used: {error}") from error

    def count(text: str) -> int:
        pieces = range(0, len(text), _PIECE_CHARACTERS)
        return sum(len(encode(text[start : start + _PIECE_CHARACTERS])) for start in pieces)

    return count


@contextmanager
def _reading_from(folder: Path | None) -> Iterator[None]:
    """Let tiktoken read vocabularies from a folder instead of the network."""
    from tiktoken import load  # noqa: PLC0415 - an extra

    cache = os.environ.get("TIKTOKEN_CACHE_DIR")
    folder = folder or (Path(cache) if cache else None)
    with _lock:
        original = load.read_file_cached
        load.read_file_cached = partial(_read, folder)
        try:
            yield
        finally:
            load.read_file_cached = original


def _read(folder: Path | None, url: str, expected_hash: str | None = None) -> bytes:
    if "://" not in url:  # a plug-in of tiktoken may name a file
        return Path(url).read_bytes()
    name = url.rpartition("/")[2]
    if folder is None:
        raise TokenCounterError(f"download {url} into a folder, and name it with --tiktoken-dir")
    cached = hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    paths = [path for path in (folder / name, folder / cached) if path.is_file()]
    if not paths:
        raise TokenCounterError(f"{folder} has no {name}: download it there from {url}")
    data = paths[0].read_bytes()
    if expected_hash not in (None, hashlib.sha256(data).hexdigest()):
        raise TokenCounterError(
            f"{paths[0]} differs from the file at {url}: its SHA-256 is not {expected_hash}"
        )
    return data
