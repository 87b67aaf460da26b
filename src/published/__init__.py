"""What other services are told of the events, made from their types: JSON Schemas, examples, an AsyncAPI document."""
