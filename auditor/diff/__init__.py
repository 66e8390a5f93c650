"""What changed between two audits: the question, the cases, the numbers pair by pair, and what was concluded from them."""
