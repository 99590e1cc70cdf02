"""Annotations of other tools: which pictures they mark, and, of those that hold masks, the masks."""
