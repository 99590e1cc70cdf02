"""The studio: a page on this machine on which recipes are looked at, set, drawn for and made into datasets."""
