"""What is said about a finished board: ranks, findings, charts, and the report that shows them."""
