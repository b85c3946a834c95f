"""Many batteries through the same grader."""
