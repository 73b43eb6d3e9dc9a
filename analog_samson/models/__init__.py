"""Networks by name: the reference networks of this package, torchvision's, timm's and the user's own."""
