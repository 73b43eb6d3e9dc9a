"""What a network is for: how a batch is fed to it, and how its outputs are scored and named."""
