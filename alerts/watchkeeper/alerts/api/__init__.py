"""What is asked over HTTP, and the pages behind signed links."""
