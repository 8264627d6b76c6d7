"""Performance benchmarks: `make bench`. All published numbers come from them."""
