"""The grids of EAP-IG's steps: its authors' current code, and their paper."""

GRIDS = ("0..m-1", "1..m")
