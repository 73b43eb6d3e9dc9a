"""Trained networks by name: the cards of all, and the weights of those that come with the package."""
