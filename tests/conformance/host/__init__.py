"""A host with all that the scenarios for servers name: tools, questions, prompts, resources."""
