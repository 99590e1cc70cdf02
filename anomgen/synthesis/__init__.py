"""The steps that generators are made of: where (masks, Perlin), what (textures), how (blending), and the label."""
