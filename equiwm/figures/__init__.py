"""The toolkit for drawing: one style, one canvas, and a CSV beside every figure. No torch."""
