"""The networks of the four papers on one trunk, in torch.

`config`, `presets`, `signature` and `motion_tokens` need no torch: a package's manifest is read without it. Everything
else does, and imports it through `pytorch`.
"""
