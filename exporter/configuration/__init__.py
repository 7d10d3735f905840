"""The settings: the table of options, and the sources their values come from."""
