"""Standard input in each of its encodings: the same bytes come out, and never more than the limit."""

from __future__ import annotations

import base64
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filepath import stdin
from filepath.errors import TooLarge
from filepath.protocol import bytes_of
from filepath.stdin import Encoding


def encoded(data: bytes, encoding: Encoding) -> str:
    if encoding == "utf-8":
        return data.decode()
    return base64.b64encode(gzip.compress(data, mtime=0) if encoding == "gzip" else data).decode()


@given(st.binary(max_size=200))
def test_bytes_come_out_as_they_went_in(data: bytes) -> None:
    for encoding in ("base64", "gzip"):
        assert stdin.decoded(encoded(data, encoding), encoding) == data
    assert bytes_of(*stdin.carried(data)) == data


@given(st.text(max_size=200))
def test_text_goes_on_as_text(text: str) -> None:
    assert stdin.carried(stdin.decoded(text, "utf-8")) == (text, "utf-8")


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4))
def test_gzip_files_one_after_the_other_are_one(parts: list[bytes]) -> None:
    joined = b"".join(map(gzip.compress, parts))
    assert stdin.decoded(base64.b64encode(joined).decode(), "gzip") == b"".join(parts)


def test_lines_of_base64_are_taken_as_the_command_prints_them() -> None:
    assert stdin.decoded("aGVs\nbG8=\n", "base64") == b"hello"


@pytest.mark.parametrize("encoding", ["utf-8", "base64", "gzip"])
def test_the_limit_is_taken_and_a_byte_more_is_not(encoding: Encoding) -> None:
    assert len(stdin.decoded(encoded(b"\n" * stdin.LIMIT, encoding), encoding)) == stdin.LIMIT
    with pytest.raises(TooLarge):
        stdin.decoded(encoded(b"\n" * (stdin.LIMIT + 1), encoding), encoding)


def test_what_would_grow_beyond_all_bounds_does_not_grow() -> None:
    one = gzip.compress(b"\0" * 1_000_000, mtime=0)
    with pytest.raises(TooLarge):
        stdin.decoded(base64.b64encode(one * 5_000).decode(), "gzip")


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("a", "base64", "not base64"),
        ("a*==", "base64", "not base64"),
        ("é", "base64", "not base64"),
        ("aGVsbG8=", "gzip", "not gzip"),
        (encoded(b"hello", "gzip")[:24], "gzip", "cut short"),
    ],
)
def test_what_is_not_of_its_encoding_is_refused(text: str, encoding: Encoding, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stdin.decoded(text, encoding)
