"""The toolkit for showing numbers: tables of text, and columns that are declared once. No torch."""
