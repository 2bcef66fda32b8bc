"""The HTTP layer without the routes: requests, authentication, validation, problems, responses, OpenAPI."""
