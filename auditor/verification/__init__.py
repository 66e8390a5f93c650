"""Checks by someone who did not make the audit: are these the files, do the numbers follow, do the networks still say so."""
