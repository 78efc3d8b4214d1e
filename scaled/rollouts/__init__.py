"""What draws responses from a language model: one class a file, one file of conf/scaled/rollout each."""
