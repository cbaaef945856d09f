"""What is remembered: facts in DuckDB, control data in SQL."""
