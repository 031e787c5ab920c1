"""What builds took, and what an edit makes run again."""
