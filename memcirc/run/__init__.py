"""A run: the stages in order, on one directory."""
