"""What is said about a finished board: the findings, their evidence, charts, and the report that shows them."""
