"""Networks that come with the package: weights, and a card that says where they come from and what was measured."""

from analog_samson.zoo.schema import Card
from analog_samson.zoo.search import checkpoint_path, list_cards, load_card, zoo_names
from analog_samson.zoo.text import card_text

__all__ = ["Card", "card_text", "checkpoint_path", "list_cards", "load_card", "zoo_names"]
