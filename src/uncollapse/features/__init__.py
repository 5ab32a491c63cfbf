"""What a sample looks like to a judge: extractors and the classifiers that tell modes apart."""
