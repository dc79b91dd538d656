"""What answers behind a host: ``interface`` says what that is; the scripted model, another server
of the user's."""
