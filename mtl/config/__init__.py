"""RetrainConfig: one validated model of everything a retrain depends on, a file for each section."""
