"""The same methods on language models, with torch."""
