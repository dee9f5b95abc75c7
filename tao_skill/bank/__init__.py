"""What a skill promises: its facts, its two tables, its packaged schemas and templates."""
