"""The methods that are compared: a file holds one, or a family of them, with their options.

`plan.options.METHODS` imports every file of this folder and finds the methods by the names that
suites use. It does so to plan, too, where torch is not loaded: files import it within functions.
"""

from eibench.methods.base import Method, Normalized, kaiming_conv

__all__ = ["Method", "Normalized", "kaiming_conv"]
