"""Transplants: real defects from a bank, taken off their pictures and put on other normal images."""
