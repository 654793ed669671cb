"""The steps of a retrain as plain functions of a configuration and of ids: flows wrap them, commands call them.

Each is safe to repeat: it finds what an earlier try made. Addresses come from the environment (mtl.settings).
"""
