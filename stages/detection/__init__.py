"""Boxes in pictures: grids, anchors, matching, suppression."""
