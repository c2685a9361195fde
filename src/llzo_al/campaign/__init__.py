"""The stages of a campaign, put together; knows nothing of FireWorks."""
