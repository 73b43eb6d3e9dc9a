"""Networks by name: the reference networks of this package, torchvision's, timm's and the user's own."""

from analog_samson.models.build import build_model, stated_normalization
from analog_samson.models.registry import MODELS, ModelEntry, register
from analog_samson.models.restore import restore_model, stated_model

__all__ = ["MODELS", "ModelEntry", "build_model", "register", "restore_model", "stated_model", "stated_normalization"]
