"""Floor 3, the stations' wing: grade, record, answer."""
