"""What runs outside the trainer: the slot's worker and its confined helpers.

Standard library only, and imported as the top-level package ``inside`` by fresh
interpreters, so that none of them loads falcon, pydantic or
torch. Nothing here reads a setting on its own: all come in the spawn message.
"""
