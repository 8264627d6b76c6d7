"""Messages to rows of models, or to rejects with a reason."""
