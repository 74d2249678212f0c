"""Manifests: text in, text out. PURE: finds, reads and edits InferenceServices by position."""
