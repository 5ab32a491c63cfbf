"""Readers of data of every form a user may have, and what is in them: `uncollapse data inspect`."""
