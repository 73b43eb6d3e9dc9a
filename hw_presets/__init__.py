"""Hardware presets, one TOML file each; read with importlib.resources."""
