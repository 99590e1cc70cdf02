"""Files put in place whole, output folders that one run holds, and hashes."""

import hashlib
from pathlib import Path

from anomgen.files import file_digest, fingerprint_of


def blake2b(text, size=16):
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def test_fingerprints_are_the_hashes_of_the_text_that_is_written_here():
    content = {"b": ["é", 0.5, None], "a": {"z": 1, "y": True}}
    assert fingerprint_of(content) == blake2b(r'{"a": {"y": true, "z": 1}, "b": ["\u00e9", 0.5, null]}')
    assert fingerprint_of(content, separators=(",", ":")) == blake2b(r'{"a":{"y":true,"z":1},"b":["\u00e9",0.5,null]}')
    assert fingerprint_of({"p": Path("a/b")}, size=8, default=str) == blake2b(f'{{"p": "{Path("a/b")}"}}', 8)
    assert file_digest(b"\x00png") == blake2b("\x00png")
