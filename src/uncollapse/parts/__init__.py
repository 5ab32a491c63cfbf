"""The parts a method is composed of, one file an axis; each file states its contract first and then the parts."""
