"""The studio: a page on this machine on which recipes are looked at, set, drawn for and made into datasets."""

from anomgen.registry import call_package

call_package(__name__, "anomgen.studio.serve")
