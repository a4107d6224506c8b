"""The report: the table, the JSON document, the picture, and the machine."""
