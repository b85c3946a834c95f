"""Floor 2: from a feature vector to a decision: estimators, intervals, bundles and policies."""
