"""Networks that come with the package: weights, and a card that says where they come from and what was measured."""
