"""From results to documents: tables of cells, notes, statistics and labels."""
