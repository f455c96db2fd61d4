def plot() -> None:
    """x"""
