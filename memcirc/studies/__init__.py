"""Studies that end with a page: each its data, the small model it trains on the spot, its results and its page."""
