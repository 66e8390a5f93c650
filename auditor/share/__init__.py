"""A finished run as a folder that can be given away: the same report, with no patient in it."""
