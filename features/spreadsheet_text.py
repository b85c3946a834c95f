"""Text that a spreadsheet shows and does not run.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return is a formula to some
spreadsheets, and battery codes come from strangers. Such text is written behind an apostrophe, and
so is text that begins with one, so that reading gives back the very text (OWASP, *CSV Injection*).
"""

_RUN_OR_ESCAPED = tuple("=+-@\t\r'")


def spreadsheet_safe(text: str) -> str:
    """Text as it is written into a cell.

    Examples
    --------
    >>> spreadsheet_safe("=1+1"), spreadsheet_safe("04QCB76836300")
    ("'=1+1", '04QCB76836300')
    """
    return f"'{text}" if text.startswith(_RUN_OR_ESCAPED) else text


def from_spreadsheet_safe(cell: str) -> str:
    """Text that `spreadsheet_safe` wrote into a cell.

    Examples
    --------
    >>> from_spreadsheet_safe("'=1+1"), from_spreadsheet_safe("'tis"), from_spreadsheet_safe("''tis")
    ('=1+1', "'tis", "'tis")
    """
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_RUN_OR_ESCAPED) else cell
