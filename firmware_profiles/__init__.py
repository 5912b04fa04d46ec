"""The device profiles, one TOML file a board; README.md beside this file describes the keys."""
