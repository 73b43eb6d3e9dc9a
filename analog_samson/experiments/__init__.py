"""The paper's tables and figures as data: one TOML file each, and one runner for all of them."""
