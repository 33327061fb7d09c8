"""Ids that sort by time: ULIDs."""

from __future__ import annotations

import secrets
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS: Final = 80
_TIME_BITS: Final = 48
_CHARACTERS: Final = 26


class Ulids:
    """Makes ids, each greater than the one before, also within a millisecond and when the clock is set back.

    26 characters of Crockford's base32: 48 bits of ms since 1970, then 80 random ones.
    Source: https://github.com/ulid/spec, "Monotonicity".
    """

    def __init__(self) -> None:
        self._last = 0

    def next(self, time_s: float) -> str:
        """The next id.

        Args:
            time_s: when it happened, s since 1970.
        """
        time_ms = min(max(int(time_s * 1000), 0), 2**_TIME_BITS - 1)
        number = (time_ms << _RANDOM_BITS) | secrets.randbits(_RANDOM_BITS)
        if time_ms <= self._last >> _RANDOM_BITS:
            number = self._last + 1
        self._last = number
        return _text(number)


def _text(number: int) -> str:
    digits = []
    for _ in range(_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
