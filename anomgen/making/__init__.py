"""A recipe becomes a dataset: the recipe, the engine that draws its rows, runners, output folder, check, replay."""
