"""Rules of comparison, one file each, on plain data and text that a program returned."""
