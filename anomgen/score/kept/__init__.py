"""A trained detector in a folder: what is written, said of it, and read again."""
