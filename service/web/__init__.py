"""Everything HTTP that is not a route: requests, authentication, validation, problems, answers, OpenAPI."""
