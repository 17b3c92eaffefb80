"""The report as LaTeX: a file a table, figures that fit a column, and a document that has them all."""
