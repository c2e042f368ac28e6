"""Recognizes text in cp1252, the Windows encoding of Western Europe, of which Latin-1 is a part."""

from __future__ import annotations

import re

WESTERN = "cp1252"

_HIGH = re.compile(rb"[\x80-\xff]+")
_UTF_8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# Letters and signs of Western languages. Letters that share their byte with a frequent letter of Czech, Polish or
# Turkish (such as ì and ě, ð and ğ) are not among them.
_LETTERS = "ÀÂÄÅÆÇÈÉÊËÎÏÑÓÔÖØÙÛÜßàâäåæçèéêëíîïñóôöøùûüáãõúÁÍÚÃÕÿŒœ"
_SIGNS = "‘’“”–—…€£©®«»°´·¿¡\xa0"  # noqa: RUF001
_KNOWN = frozenset((_LETTERS + _SIGNS).encode(WESTERN))
_LETTER_BYTES = frozenset(_LETTERS.encode(WESTERN))
_LEAST = 3
_LONGEST_RUN = 2


def is_western(head: bytes) -> bool:
    """Returns whether text that is not UTF-8 is clearly cp1252.

    It is, if its bytes above 127 stand alone or in twos, next to ASCII, all of them are usual Western letters or
    signs, most are letters, and no two of them form a character of UTF-8. Other encodings have words of such bytes
    (Cyrillic, Greek, Asian ones) or use other bytes (Central European ones, Turkish).
    """
    runs = _HIGH.findall(head)
    high = b"".join(runs)
    if len(high) < _LEAST or max(map(len, runs)) > _LONGEST_RUN or not set(high) <= _KNOWN:
        return False
    letters = sum(byte in _LETTER_BYTES for byte in high)
    return 2 * letters >= len(high) and not _UTF_8.search(head)
