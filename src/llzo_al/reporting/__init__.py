"""Facts in, one page and one table out."""
