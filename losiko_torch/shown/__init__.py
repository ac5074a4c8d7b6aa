"""Results, scores and databases at a prompt, in a notebook and on a page: lines, tables, views."""
