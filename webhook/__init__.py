"""The Flask service: receives webhooks, marks work durably, reconciles in the background."""
