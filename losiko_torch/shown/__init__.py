"""Results, scores and databases at prompts, in notebooks and pages: lines, tables, views."""
