"""Whether what a folder of runs holds is whole and belongs together. Nothing here changes a file but `repair`."""
