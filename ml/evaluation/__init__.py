"""Evaluation of classifiers and taggers: scores, confidence intervals and paired comparisons."""
