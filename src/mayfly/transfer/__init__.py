"""Light parts for all wings: HTTP session, tree hashing, ignore files, packed blobs."""
