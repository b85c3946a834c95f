"""Self-contained HTML pages: one look and a few charts for every wing."""
