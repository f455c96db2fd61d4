"""From documents to text: terminal, Markdown, LaTeX, CSV and JSON."""
