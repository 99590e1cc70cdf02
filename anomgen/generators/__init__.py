"""The generators, one file a method, named as in the literature; `anomgen.registry` finds them by name."""
