"""Numbers that are contrasted: summaries per class, comparisons of strategies, their intervals. NumPy only, no torch."""
