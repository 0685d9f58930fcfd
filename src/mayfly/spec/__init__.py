"""The language: what people write in job files. Unknown keys are refused."""
