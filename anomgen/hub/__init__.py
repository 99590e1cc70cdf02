"""Publishing datasets and models on the Hugging Face Hub."""

from anomgen.hub.push import Pushed, push

__all__ = ["Pushed", "push"]
