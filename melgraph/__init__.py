"""melgraph: a folder of music in; everything its spectrograms can teach out.

The four rooms lie at the top of the repository and are imported from here: `melgraph.pipelines`,
`melgraph.assets`, `melgraph.ml` and `melgraph.storage`. So they never collide with packages of the
same common names in a user's own program. docs/decisions/0007-import-name.md says why.
"""
