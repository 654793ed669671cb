"""One file per task, and the table of them."""
