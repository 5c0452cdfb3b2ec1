"""`generation_report`: the sounds of all generators, judged and compared with controls."""
