"""The steps of a retrain as plain functions, one file each, in the order of README's diagram:

    prepare -> train -> evaluate -> register -> gate -> promote        monitor, generate

Each takes a Workspace and the records of the steps before it (`records`), and gives a record. Each is safe to repeat:
it finds what an earlier try made. Flows wrap them, commands call them.
"""
