"""What the server fetches by itself."""
