"""A recipe for this product: what is measured on its normal images and on a few real defects."""
