"""Comparison: experiments that answer one question of the paper by training arms on equal terms."""
