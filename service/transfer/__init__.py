"""Transfer: export to a file and import from one, in three formats."""
