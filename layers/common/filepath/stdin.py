"""Standard input as a request carries it: text, or bytes in base64, compressed where they are many. Pure.

A request's body is JSON, and on its way JSON within JSON: a quote or a line end takes three bytes of Lambda's 6 MB.
Compressed, what has many of these fits; what does not compress fits up to some 4 MB.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Literal

from filepath.errors import TooLarge

Encoding = Literal["utf-8", "base64", "gzip"]

LIMIT = 5 * 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS


def decoded(text: str, encoding: Encoding) -> bytes:
    """Raises ValueError for what is not of the encoding, TooLarge over the limit, whatever it would grow to."""
    data = text.encode() if encoding == "utf-8" else _of_base64(text)
    if encoding == "gzip":
        data = _decompressed(data)
    if len(data) > LIMIT:
        raise TooLarge(f"stdin has more than {LIMIT} bytes. Let the command fetch what it is to read.")
    return data


def carried(data: bytes) -> tuple[str, Literal["utf-8", "base64"]]:
    """How the bytes go on to the sandbox: as text where they are."""
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), "base64"


def _of_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("stdin is not base64, as its encoding says") from None


def _decompressed(data: bytes) -> bytes:
    """One gzip file, or several one after the other; no more of it than is needed to see that it is too large."""
    content = b""
    while data and len(content) <= LIMIT:
        file = zlib.decompressobj(_GZIP)
        try:
            content += file.decompress(data, LIMIT + 1 - len(content))
        except zlib.error:
            raise ValueError("stdin is not gzip in base64, as its encoding says") from None
        if not file.eof and len(content) <= LIMIT:
            raise ValueError("stdin is a gzip file that was cut short")
        data = file.unused_data
    return content
