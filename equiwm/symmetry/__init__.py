"""Groups, their elements, and the representations that say how a tensor transforms under them."""
