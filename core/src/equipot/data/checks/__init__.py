"""Checks that judge data before anything is learnt from them."""
