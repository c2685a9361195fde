"""Commands that stand on their own beside the campaign: one module each, thin."""
