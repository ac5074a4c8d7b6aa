"""Results, scores and databases as a prompt and a notebook show them: lines and plain tables."""
