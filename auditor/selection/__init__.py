"""What to label next: images of an unlabelled pool that are most like those of the rare classes a network misses."""
