"""Text in its plainest characters, so that two writings of one name are one name.

Full-width letters, typographic dashes and digits of other scripts look like their ASCII neighbours and come out of
keyboards, scanners and spreadsheets unasked. Nothing is refused here and no case is changed.
"""

import unicodedata

_MINUS_SIGN = "\u2212"


def plain_text(text: str) -> str:
    """Return a text with compatible characters unified, every dash a hyphen and every decimal digit in ASCII.

    Parameters
    ----------
    text : str
        Any text.

    Notes
    -----
    NFKC (Unicode Standard Annex 15), then the dash punctuation (category Pd) and the minus sign, then the decimal
    digits (category Nd). Applied twice it changes nothing more.

    Examples
    --------
    >>> plain_text("ＰＡＣＫ\u2011１"), plain_text("pack\u2212\u0661\u0662")
    ('PACK-1', 'pack-12')
    """
    if text.isascii():
        return text
    return "".join(map(_plain, unicodedata.normalize("NFKC", text)))


def _plain(character: str) -> str:
    if character == _MINUS_SIGN or unicodedata.category(character) == "Pd":
        return "-"
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)
