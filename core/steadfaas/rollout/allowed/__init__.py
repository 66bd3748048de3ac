"""What a JSON Schema allows, and how what two of them allow differs."""
