"""Numbers in, numbers out: statistics, lifetimes, yield, comparisons. No words, no pictures, no torch."""
