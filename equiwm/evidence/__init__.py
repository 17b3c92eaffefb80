"""What the evidence says of a symmetry: of a world that can be asked, of data alone, of whatever there is."""
