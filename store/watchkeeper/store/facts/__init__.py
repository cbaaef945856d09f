"""What services sent and its rollups: one DuckDB file, one owner."""
