"""What is said about a finished board: the verdict, its evidence, charts, and the report that shows them."""
