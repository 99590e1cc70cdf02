"""Banks of real defects: pictures and masks in one folder, to be put on other images of the product, and shared."""
