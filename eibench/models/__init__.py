"""Architectures, each written once over a method; a file holds the options beside the function.

A model is a function `(method, image, classes, options) -> Module`, with `image` = (C, H, W); the
module takes [T, B, C, H, W] and gives logits [T, B, classes]. It raises ValueError, without a
network's name, when the image does not suit it. `plan.options.MODELS` imports every file of this
folder, to plan too, where torch is not loaded: files import it within functions.
"""
