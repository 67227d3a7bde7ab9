"""A folder of recordings becomes windows: read once and kept, divided, told by tables, cut.

It knows sound, and how a model wants to be told about it (`wavenet.model`); nothing of engines or training.
"""
