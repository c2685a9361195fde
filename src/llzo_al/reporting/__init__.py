"""The report of a campaign: facts in, JSON, one HTML page and a terminal table out."""
