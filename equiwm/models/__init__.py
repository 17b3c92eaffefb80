"""World models: encoders, predictors, and the model that joins them."""
