"""Contract suites, builders and fakes that drivers and tests inherit."""
