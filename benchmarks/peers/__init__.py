"""Conversations kept by Session History and by its peers, each as its users drive it.

Each module but ``turns`` is a program that runs where its library is installed and nothing else need be.
"""
