"""The commands: each turns the settings on its command line into one library call, and shows the result.

It hands out the entry points of the commands, one module each, and `calls.train` for Python. It may import every room,
and is the only one that imports Hydra, OmegaConf and rich.
"""
