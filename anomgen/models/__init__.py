"""What is trained: the models behind the learned generators."""
