"""What a table breaks of its pandera schema, as problems that name row, column, rule and value."""

import pandas as pd
import pandera.errors
import pandera.pandas as pa

from features.errors import Problem


def schema_problems(table: pd.DataFrame, schema: pa.DataFrameSchema, table_name: str) -> list[Problem]:
    """Everything in which a table breaks its schema.

    Parameters
    ----------
    table : DataFrame
        The table.
    schema : DataFrameSchema
        Its rules.
    table_name : str
        File or data set, for the message.

    Returns
    -------
    list of Problem
        Empty if the table obeys; rows are counted from 0 in the table's own index.
    """
    try:
        schema.validate(table, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return [_problem(case, table_name) for case in errors.failure_cases.to_dict("records")]
    return []


def _problem(case: dict[str, object], table_name: str) -> Problem:
    row = "" if pd.isna(case["index"]) else f"row {case['index']}"  # type: ignore[call-overload]  # a scalar
    column = case["column"] if isinstance(case["column"], str) else ""
    where = " ".join(part for part in (table_name, row, column) if part)
    return Problem(where, f"must pass {case['check']}", f"{case['failure_case']}")
