"""Where records come from: each module turns one kind of source into events."""
