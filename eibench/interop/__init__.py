"""Networks of other programs, read into eibench's layers."""
