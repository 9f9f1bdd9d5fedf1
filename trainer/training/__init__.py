"""The pack: one loop that trains many trials on one resident base."""
