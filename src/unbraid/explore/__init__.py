"""The page on which a trained run is looked at and moved; all but page.py works without a page."""
