"""Defects that inspectors name: scratches, cracks, stains, dents and others, drawn by formulas on normal images."""
