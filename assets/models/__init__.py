"""The models wing: trained models, evaluations and the leaderboard."""
