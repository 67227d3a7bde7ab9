"""The commands. The only part that knows Hydra, OmegaConf and rich; each turns settings into one library call."""
