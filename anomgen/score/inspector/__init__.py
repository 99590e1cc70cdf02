"""One trained detector that is kept: fitting it, its folder, and inspecting new images with it."""
