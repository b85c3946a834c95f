"""Everything recorded that is not a decision, one kind per file; with `serving.grading` the only writers."""
