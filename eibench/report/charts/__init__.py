"""Charts of a page: the data of figures as Vega-Lite."""
