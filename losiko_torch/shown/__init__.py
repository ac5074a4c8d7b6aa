"""Results, scores and databases as a prompt, a notebook or a page shows them: lines, tables, views."""
