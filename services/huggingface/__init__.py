"""The Hugging Face Hub, asynchronously: repositories, Datasets and Spaces."""
