"""Who is trained on and who is judged: labelled items, splits as files, how they are made and reduced. No pixels."""
