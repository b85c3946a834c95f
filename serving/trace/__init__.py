"""From the record to the platform: what is sent, when it is due and what became of it."""
