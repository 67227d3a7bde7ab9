"""A folder of recordings becomes training windows: decoded once and cached, split, labelled from tables, cut.

Its modules hand out prepared codes (`preparation`), the split (`split`), labels and frames (`annotations`), windows
(`windows`) and single recordings (`reader`). It may import `wavenet.model`, `wavenet.audio` and the rooms below them.
"""
