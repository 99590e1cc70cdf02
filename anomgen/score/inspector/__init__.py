"""One trained detector: fitting and keeping it, and inspecting new images with it."""
