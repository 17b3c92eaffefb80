"""What is claimed of a model, a folder a claim: how it is measured, its result, how it is shown, its bounds."""
