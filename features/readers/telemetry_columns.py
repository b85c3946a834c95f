"""From a column as written to a canonical column: invalid values out, units and sign right.

The rule is the same for every number: sentinels and values outside the valid range become missing
and are counted; what remains is converted; what then lies outside the canonical limits is an error
that asks for a better mapping, never a battery's property.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import InvalidInput, Problem
from features.measurement import FloatArray, column_definition
from features.readers.vehicle_mapping import Codes, FileLayout, NumberedColumns, Quantity
from features.vocabulary import TableFormat


@dataclass(frozen=True)
class ConvertedColumn:
    """One canonical column and what was not a number in it.

    Attributes
    ----------
    name : str
        Canonical name.
    values : ndarray, shape (n,)
        Canonical values, NaN where missing.
    empty_count, sentinel_count : int
        Cells without value, and cells with a value that means 'invalid'.
    """

    name: str
    values: FloatArray
    empty_count: int
    sentinel_count: int


def converted_number(name: str, written_as: str, raw: FloatArray, quantity: Quantity) -> ConvertedColumn:
    """Convert raw numbers to a canonical column.

    Parameters
    ----------
    name : str
        Canonical name.
    written_as : str
        Column of the file, for the error.
    raw : ndarray, shape (n,)
        Numbers as they stand in the file, NaN where empty.
    quantity : Quantity
        Unit, scale, offset and invalid values.

    Raises
    ------
    InvalidInput
        If a value is outside the canonical limits and not declared invalid.
    """
    empty = np.isnan(raw)
    invalid = np.zeros(raw.shape, dtype=bool)
    for sentinel in quantity.sentinels:
        invalid |= np.abs(raw - sentinel) <= quantity.sentinel_tolerance
    if quantity.valid_range is not None:
        lowest, highest = quantity.valid_range
        invalid |= ~empty & ~((raw >= lowest) & (raw <= highest))
    values = np.where(invalid, np.nan, raw * quantity.factor + quantity.shift)
    _refuse_outside(name, written_as, raw, values)
    return ConvertedColumn(name, values, int(np.count_nonzero(empty)), int(np.count_nonzero(invalid)))


def _refuse_outside(name: str, written_as: str, raw: FloatArray, values: FloatArray) -> None:
    definition = column_definition(TableFormat.TELEMETRY, name)
    if definition is None:
        raise InvalidInput(
            "Too many numbered columns.", [Problem(written_as, "a family has at most 999 columns", name)]
        )
    outside = np.flatnonzero(~((values >= definition.lowest) & (values <= definition.highest)) & ~np.isnan(values))
    if outside.size == 0:
        return
    rule = (
        f"{outside.size} values lie outside {definition.lowest:g} to {definition.highest:g} {definition.unit} once "
        f"converted to {name}; correct unit, scale and offset, or list them under sentinels"
    )
    shown = ", ".join(f"{value:g}" for value in np.unique(raw[outside])[:5])
    raise InvalidInput(
        f"Column {written_as} holds values that no {name} can have. Nothing was graded.",
        [Problem(f"column {written_as}", rule, shown)],
        code="MAPPING_CONTRADICTS_DATA",
    )


def converted_codes(name: str, written: Iterable[pa.ChunkedArray], codes: Codes, layout: FileLayout) -> ConvertedColumn:
    """Convert codes to a canonical column; of several columns the highest meaning counts.

    Raises
    ------
    InvalidInput
        If a code is not listed.
    """
    translated = [_translated(column, text, codes, layout) for column, text in zip(codes.columns, written, strict=True)]
    values = np.fmax.reduce([values for values, _ in translated])
    sentinel = np.logical_or.reduce([invalid for _, invalid in translated]) & np.isnan(values)
    missing_count = int(np.count_nonzero(np.isnan(values)))
    sentinel_count = int(np.count_nonzero(sentinel))
    return ConvertedColumn(name, values, missing_count - sentinel_count, sentinel_count)


def _translated(
    column: str, written: pa.ChunkedArray, codes: Codes, layout: FileLayout
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    encoded = pc.dictionary_encode(pc.cast(written, pa.string()), null_encoding="encode").combine_chunks()
    meanings = {_plain(code): float(meaning) for code, meaning in codes.codes.items()}
    invalid = {_plain(code) for code in codes.sentinels}
    empty = {_plain(word) for word in layout.missing_words}
    words = [None if word is None else _plain(word) for word in encoded.dictionary.to_pylist()]
    known = meanings.keys() | invalid | empty
    if unknown := [word for word in words if word is not None and word not in known]:
        rule = "every code needs a meaning under codes, or a place under sentinels"
        raise InvalidInput(
            f"Column {column} holds codes the mapping does not know. Nothing was graded.",
            [Problem(f"column {column}", rule, ", ".join(sorted(unknown)[:10]))],
        )
    index = encoded.indices.to_numpy(zero_copy_only=False)
    by_word = np.array([meanings.get(word, np.nan) if word is not None else np.nan for word in words])
    return by_word[index], np.array([word in invalid for word in words])[index]


def _plain(code: str) -> str:
    try:
        return f"{float(code):g}"
    except ValueError:
        return code.strip()


def family_columns(names: Iterable[str], family: NumberedColumns) -> tuple[tuple[int, str], ...]:
    """Find number and name of the file's columns that belong to a numbered family, by rising number.

    Raises
    ------
    InvalidInput
        If none fits, one of the declared range is absent, or two carry the same number.
    """
    before, after = (family.columns or "").split("{n}")
    pattern = re.compile(re.escape(before) + r"(\d{1,4})" + re.escape(after))
    found = sorted((int(match[1]), name) for name in names if (match := pattern.fullmatch(name)))
    if family.numbers is not None:
        first, last = family.numbers
        found = [(number, name) for number, name in found if first <= number <= last]
        present = {number for number, _ in found}
        absent = [number for number in range(first, last + 1) if number not in present]
    else:
        absent = []
    numbers = [number for number, _ in found]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if absent or twice or not found:
        raise InvalidInput(
            "The file does not have the numbered columns the mapping names.",
            [
                Problem(
                    f"columns {family.columns}",
                    f"must be there once each, from {family.numbers or 'any number'}",
                    f"absent {absent[:5]}, twice {twice[:5]}, found {len(found)}",
                )
            ],
        )
    return tuple(found)


def list_values(written: pa.ChunkedArray, family: NumberedColumns, layout: FileLayout) -> tuple[FloatArray, int]:
    """Values of a list column side by side, and how many rows hold a list of another length.

    Returns
    -------
    ndarray, shape (n, count)
        Raw numbers; NaN in rows whose list is missing or of another length.
    int
        Rows with a list of another length.

    Raises
    ------
    InvalidInput
        If no row has a list, or a part of a list is no number.
    """
    lists = _lists(written, family)
    length = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    count = family.count or int(np.argmax(np.bincount(length, minlength=2)[1:])) + 1
    fits = length == count
    if not fits.any() or count > 999:
        problem = Problem(f"column {family.list_column}", f"must hold lists of {family.count or '1 to 999'} values", "")
        raise InvalidInput("The file does not hold the lists the mapping names.", [problem])
    values = np.full((len(lists), count), np.nan)
    values[fits] = _list_numbers(lists.filter(pa.array(fits)).flatten(), family, layout).reshape(-1, count)
    return values, int(np.count_nonzero(~fits & (length > 0)))


def _lists(written: pa.ChunkedArray, family: NumberedColumns) -> pa.Array:
    if pa.types.is_string(written.type) or pa.types.is_large_string(written.type):
        inner = pc.utf8_trim(written, characters="[](){} \t" + family.list_separator)
        inner = pc.if_else(pc.equal(inner, ""), pa.scalar(None, inner.type), inner)
        written = pc.split_pattern(inner, family.list_separator)
    chunks = written.combine_chunks()
    if not (pa.types.is_list(chunks.type) or pa.types.is_large_list(chunks.type)):
        problem = Problem(f"column {family.list_column}", "must hold lists", str(chunks.type))
        raise InvalidInput("The file does not hold the lists the mapping names.", [problem])
    return chunks


def _list_numbers(flat: pa.Array, family: NumberedColumns, layout: FileLayout) -> FloatArray:
    if pa.types.is_string(flat.type) or pa.types.is_large_string(flat.type):
        flat = pc.utf8_trim_whitespace(flat)
        flat = pc.replace_substring(flat, layout.decimal_point, ".")
        flat = pc.if_else(pc.is_in(flat, value_set=pa.array(layout.missing_words, flat.type)), None, flat)
    try:
        numbers: FloatArray = pc.cast(flat, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException as fault:
        problem = Problem(f"column {family.list_column}", "every part of a list must be a number", str(fault)[:200])
        raise InvalidInput("The file does not hold the lists the mapping names.", [problem]) from fault
    return numbers
