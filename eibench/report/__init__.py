"""From results to tables and figures: pure functions of what is stored on disk, without torch."""
