"""Publishing datasets and models on the Hugging Face Hub."""

from anomgen.hub.push import Options, Pushed, push

__all__ = ["Options", "Pushed", "push"]
