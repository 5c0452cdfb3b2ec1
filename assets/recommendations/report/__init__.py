"""`recommendation_report`: how good the recommendations of all encoders are, compared."""
