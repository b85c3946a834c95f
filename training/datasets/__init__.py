"""One adapter per public data set; each hands on canonical tables and measured labels."""
