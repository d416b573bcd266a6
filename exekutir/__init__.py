"""The exekutir: takes a job through its contexts, setup, run and cleanup, and leaves nothing behind."""
