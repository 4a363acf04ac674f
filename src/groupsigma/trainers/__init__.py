"""The dial inside trainers people already use: thin, no arithmetic of their own."""
