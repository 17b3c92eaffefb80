"""Tables and figures, made from run directories only: nothing here imports torch."""
