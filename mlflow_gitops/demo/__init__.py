"""The demo: real servers on loopback, and the main job told as a story."""
