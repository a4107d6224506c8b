"""Work on the database without the service: fill it, start it, and run the store's statements."""
