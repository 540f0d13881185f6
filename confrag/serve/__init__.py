"""`confrag serve`: a configuration as an HTTP service with a web page."""
