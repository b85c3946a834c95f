"""Floor 1: what was measured on a battery, and what is computed from it. Knows no model, no tracking, no web."""
